//! Invalid bodies: each is refused with its code, and changes nothing.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use quintet::gateway::limits::GatewayLimits;
use serde_json::json;

use crate::harness::TestService;

/// Routes that read a body, and a path for each.
const READERS: [&str; 4] =
    ["/v1/tickets", "/v1/messages", "/v1/runs/018f3c2e-7b1a-7c3d-8e4f-0123456789ab/calls/c", "/dev/login"];

fn post(service: &TestService, path: &str) -> reqwest::RequestBuilder {
    service.ask("POST", path).bearer_auth(service.token("ada"))
}

/// A body in pieces, without a length.
fn piecewise(pieces: impl Stream<Item = String> + Send + Sync + 'static) -> reqwest::Body {
    let frames = pieces.map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(piece))));
    reqwest::Body::wrap(StreamBody::new(frames))
}

#[tokio::test]
async fn body_that_is_not_json_is_refused_as_malformed() {
    let service = TestService::start().await;
    let deep = "[".repeat(200_000);
    for path in READERS {
        for body in [&b"{"[..], b"nonsense", b"{\"text\":\"\xff\"}", b"{}{}", b"\0", deep.as_bytes()] {
            let request = post(&service, path).header("content-type", "application/json").body(body.to_vec());
            service.reply(request).await.problem(400, "malformed_frame");
        }
    }
    for path in READERS.iter().filter(|path| **path != "/v1/tickets") {
        let answer = service.reply(post(&service, path)).await;
        answer.problem(400, "malformed_frame");
    }
    assert_eq!(service.get("ada", "/v1/entries").await.ok(200)["head"], 0);
}

#[tokio::test]
async fn body_of_another_media_type_is_refused_for_any_content() {
    let service = TestService::start().await;
    for path in READERS {
        for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""] {
            let request = post(&service, path).header("content-type", media).body("{\"user_id\":\"ada\"}");
            service.reply(request).await.problem(415, "malformed_frame");
        }
        let request = post(&service, path).body("{\"user_id\":\"ada\"}");
        service.reply(request).await.problem(415, "malformed_frame");
    }
    for media in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.chat+json"] {
        let request = post(&service, "/v1/tickets").header("content-type", media).body("{}");
        service.reply(request).await.ok(201);
    }
}

#[tokio::test]
async fn body_over_the_limit_is_refused_with_and_without_a_length() {
    let limits = GatewayLimits { request_body_bytes_max: 2_048, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(2_048));
    for path in READERS {
        let said = post(&service, path).header("content-type", "application/json").body(long.clone());
        service.reply(said).await.problem(413, "too_large");
        // Without a length up front.
        let pieces = piecewise(futures_util::stream::iter([long.clone(), long.clone()]));
        let chunked = post(&service, path).header("content-type", "application/json").body(pieces);
        service.reply(chunked).await.problem(413, "too_large");
        // To the byte; white space counts.
        for (bytes, is_refused) in [(2_048, false), (2_049, true)] {
            let body = format!("{:<bytes$}", "{}");
            let answer = service
                .reply(post(&service, path).header("content-type", "application/json").body(body))
                .await;
            assert_eq!(answer.status == 413, is_refused, "{path}, {bytes} bytes: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn body_that_does_not_come_times_out() {
    let limits = GatewayLimits { request_body_timeout_ms: 100, ..GatewayLimits::DEFAULT };
    let service = TestService::with(limits).await;
    let begins = futures_util::stream::iter(["{".to_owned()]).chain(futures_util::stream::pending());
    let request = post(&service, "/v1/messages").header("content-type", "application/json");
    let answer = service.reply(request.body(piecewise(begins))).await;
    answer.problem(408, "malformed_frame");
}

#[tokio::test]
async fn del_7_request_that_times_out_is_not_reported_as_done() {
    let limits = GatewayLimits { request_timeout_ms: 500, ..GatewayLimits::DEFAULT };
    let mut service = TestService::with(limits).await;
    let (mut client, _) = service.open("ada").await;
    let message = json!({"message_id": "m", "thread_id": "t", "text": "hello"});
    service.journal.pause_appends();
    service.post("ada", "/v1/messages", &message).await.problem(503, "unavailable");
    service.journal.release_appends();
    // The journal stores it after all, and the client receives it.
    client.expect("user_message").await;
    // DEL-6: asking again is safe, and returns the outcome.
    let again = service.post("ada", "/v1/messages", &message).await.ok(202);
    assert_eq!(again["duplicate"], true);
    assert_eq!(again["message_offset"], 1);
    service.answer("hi").await;
}

#[tokio::test]
async fn del_7_service_without_a_journal_accepts_nothing() {
    let service = TestService::start().await;
    service.journal.set_down(true);
    let message = json!({"message_id": "m", "thread_id": "t", "text": "hello"});
    let refused = service.post("ada", "/v1/messages", &message).await;
    let problem = refused.problem(503, "unavailable");
    assert!(problem["retry_after_ms"].is_u64() && refused.header("retry-after") == "1", "{problem}");
    for path in ["/v1/entries", "/v1/threads", "/v1/runs/018f3c2e-7b1a-7c3d-8e4f-0123456789ab"] {
        service.get("ada", path).await.problem(503, "unavailable");
    }
    service.journal.set_down(false);
    service.post("ada", "/v1/messages", &message).await.ok(202);
}

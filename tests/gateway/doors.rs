//! Who is let in at all: credentials, origins, paths; and tickets that many race for.

use std::sync::Arc;

use futures_util::future::join_all;
use quintet::kernel::ids::{Timestamp, UserId};
use serde_json::Value;

use crate::{
    harness::{Service, soon},
    http::ROUTES,
};

#[tokio::test]
async fn auth_5_every_route_refuses_whoever_shows_no_good_token() {
    let service = Service::start().await;
    let login = service.running.gateway().dev.clone().unwrap();
    let (expired, _) = login.login(UserId::parse("ada").unwrap(), Timestamp(1_000)).unwrap();
    let good = service.token("ada");
    let ticket = service.ticket("ada").await;
    let credentials = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(format!("Basic {good}")),
        Some(good.clone()),
        Some(format!("Bearer {expired}")),
        Some(format!("Bearer {good}x")),
        Some(format!("Bearer {}", "x".repeat(10_000))),
        // A ticket opens a connection, and nothing else.
        Some(format!("Bearer {ticket}")),
    ];
    for (method, path) in ROUTES {
        for credential in &credentials {
            let mut request = service.ask(method, path);
            if let Some(credential) = credential {
                request = request.header("authorization", credential);
            }
            let refused = service.reply(request).await;
            refused.problem(401, "unauthenticated");
            assert_eq!(refused.header("www-authenticate"), "Bearer", "{method} {path}");
        }
        let twice =
            service.ask(method, path).bearer_auth(&good).header("authorization", format!("Bearer {good}"));
        service.reply(twice).await.problem(401, "unauthenticated");
    }
    // The scheme's name is spelled as one likes.
    let request = service.ask("GET", "/v1/entries").header("authorization", format!("bEARER {good}"));
    service.reply(request).await.ok(200);
}

#[tokio::test]
async fn auth_4_a_page_of_another_origin_gets_nothing_from_any_route() {
    let service = Service::start().await;
    let own = format!("http://{}", service.running.listen);
    let token = service.token("ada");
    for (method, path) in ROUTES.into_iter().chain([("POST", "/dev/login"), ("GET", "/"), ("GET", "/v1/ws")])
    {
        for origin in ["https://evil.test", "null", "http://localhost:1", "https://evil.test/x"] {
            let request = service.ask(method, path).bearer_auth(&token).header("origin", origin);
            let refused = service.reply(request).await;
            refused.problem(403, "forbidden");
            assert_eq!(refused.header("access-control-allow-origin"), "");
        }
    }
    let request = service.ask("GET", "/v1/entries").bearer_auth(&token).header("origin", &own);
    let answer = service.reply(request).await;
    answer.ok(200);
    assert_eq!(answer.header("access-control-allow-origin"), own);
    // The page may read when to come back.
    assert_eq!(answer.header("access-control-expose-headers"), "retry-after");
}

#[tokio::test]
async fn a_browser_may_ask_beforehand_and_learns_what_its_page_may_do() {
    let service = Service::start().await;
    let own = format!("http://{}", service.running.listen);
    let ask = async |origin: &str| {
        let request = service.ask("OPTIONS", "/v1/tickets").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        service.reply(request.header("access-control-request-headers", "authorization,content-type")).await
    };
    let allowed = ask(&own).await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, own.as_str()));
    assert!(allowed.header("access-control-allow-headers").contains("authorization"));
    assert!(allowed.header("access-control-allow-methods").contains("POST"));
    assert_eq!(allowed.header("access-control-allow-credentials"), "", "cookies play no part");
    ask("https://evil.test").await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_path_or_a_method_that_is_not_there_is_said_so() {
    let service = Service::start().await;
    for path in ["/nowhere", "/v1", "/v1/", "/v1/entries/", "/v2/entries", "/livez", "/readyz", "/metrics"] {
        service.reply(service.ask("GET", path)).await.problem(404, "not_found");
    }
    for (method, path, allowed) in
        [("DELETE", "/v1/entries", "GET"), ("GET", "/v1/messages", "POST"), ("PUT", "/", "GET")]
    {
        let refused = service.reply(service.ask(method, path)).await;
        refused.problem(405, "not_found");
        assert!(refused.header("allow").contains(allowed), "{method} {path}: {}", refused.header("allow"));
    }
}

#[tokio::test]
async fn answers_are_not_kept_and_not_taken_for_something_else() {
    let service = Service::start().await;
    for answer in
        [service.get("ada", "/v1/entries").await, service.reply(service.ask("GET", "/v1/entries")).await]
    {
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn auth_1_of_many_who_race_for_a_ticket_one_gets_the_connection() {
    let service = Arc::new(Service::start().await);
    for _ in 0..5 {
        let ticket = service.ticket("ada").await;
        let racers = join_all((0..20).map(|_| {
            let mut request = service.request();
            *request.uri_mut() = format!("{}?ticket={ticket}", request.uri()).parse().unwrap();
            let service = service.clone();
            async move { service.try_connect(request).await.map_err(|refused| refused.status().as_u16()) }
        }));
        let outcomes = soon("the end of the race", racers).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "AUTH-1");
        assert!(outcomes.iter().all(|outcome| !matches!(outcome, Err(status) if *status != 401)));
    }
}

#[tokio::test]
async fn auth_2_looking_at_a_ticket_does_not_spend_it() {
    let service = Service::start().await;
    let ticket = service.ticket("ada").await;
    // No route tells whether a ticket is good, and none that is no connection takes one.
    for (method, path) in ROUTES {
        let request = service.ask(method, &format!("{path}?ticket={ticket}"));
        service.reply(request).await.problem(401, "unauthenticated");
    }
    let plain: Value = service.reply(service.ask("GET", &format!("/v1/ws?ticket={ticket}"))).await.json();
    assert!(plain["status"].as_u64().unwrap() >= 400, "no upgrade, no connection: {plain}");
    let mut request = service.request();
    *request.uri_mut() = format!("{}?ticket={ticket}", request.uri()).parse().unwrap();
    assert!(service.try_connect(request).await.is_ok());
}

//! Authentication and access: credentials, origins, paths; and races for tickets.

use std::sync::Arc;

use futures_util::future::join_all;
use quintet::kernel::ids::{Timestamp, UserId};
use serde_json::Value;

use crate::{
    harness::{TestService, soon},
    http::ROUTES,
};

#[tokio::test]
async fn auth_5_every_route_refuses_requests_without_a_valid_token() {
    let service = TestService::start().await;
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
    // The name of the scheme is case-insensitive.
    let request = service.ask("GET", "/v1/entries").header("authorization", format!("bEARER {good}"));
    service.reply(request).await.ok(200);
}

#[tokio::test]
async fn auth_4_page_of_a_foreign_origin_is_refused_on_every_route() {
    let service = TestService::start().await;
    let own = format!("http://{}", service.running.listen);
    let token = service.token("ada");
    for (method, path) in ROUTES.into_iter().chain([("POST", "/dev/login"), ("GET", "/"), ("GET", "/v1/ws")])
    {
        for origin in ["https://evil.test", "null", "http://localhost.evil.test:1", "https://evil.test/x"] {
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
    // The development server of a front end, on a port of its own.
    let request =
        service.ask("GET", "/v1/entries").bearer_auth(&token).header("origin", "http://localhost:5173");
    service.reply(request).await.ok(200);
    // The page may read the time of a retry.
    assert_eq!(answer.header("access-control-expose-headers"), "retry-after,content-disposition");
}

#[tokio::test]
async fn preflight_requests_get_the_allowed_methods_and_headers() {
    let service = TestService::start().await;
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
    assert_eq!(allowed.header("access-control-allow-credentials"), "", "cookies are not used");
    ask("https://evil.test").await.problem(403, "forbidden");
    for (method, path) in [("PATCH", "/v1/threads/t"), ("DELETE", "/v1/threads/t"), ("DELETE", "/v1/log")] {
        let request = service.ask("OPTIONS", path).header("origin", &own);
        let answer = service.reply(request.header("access-control-request-method", method)).await;
        assert_eq!(answer.header("access-control-allow-origin"), own);
        assert!(answer.header("access-control-allow-methods").split(',').any(|one| one.trim() == method));
        let request = service.ask("OPTIONS", path).header("origin", "https://evil.test");
        service
            .reply(request.header("access-control-request-method", method))
            .await
            .problem(403, "forbidden");
    }
    let put = service.ask("OPTIONS", "/v1/log").header("origin", &own);
    let put = service.reply(put.header("access-control-request-method", "PUT")).await;
    assert!(!put.header("access-control-allow-methods").contains("PUT"));
}

#[tokio::test]
async fn unknown_path_or_method_is_an_error() {
    let service = TestService::start().await;
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
async fn responses_are_not_cached_and_not_sniffed() {
    let service = TestService::start().await;
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
async fn auth_1_ticket_raced_for_by_many_opens_one_connection() {
    let service = Arc::new(TestService::start().await);
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
async fn auth_2_request_without_an_upgrade_does_not_spend_a_ticket() {
    let service = TestService::start().await;
    let ticket = service.ticket("ada").await;
    // No route reveals whether a ticket is valid, and only a connection redeems one.
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

//! The service against its own machine-readable contract, fetched as a client would.

use quintet::kernel::entry::CallOwner;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestService, close_call, http_client, open_call, say, soon, succeed, think};

/// A response over HTTP.
struct Answer {
    status: u16,
    media: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

async fn ask(
    service: &TestService,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> Answer {
    let url = format!("http://{}{path}", service.running.listen);
    let mut request = http_client().request(Method::from_bytes(method.as_bytes()).unwrap(), url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    let response = soon("a response", request.send()).await.unwrap();
    let status = response.status().as_u16();
    let media = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    Answer { status, media, text: soon("its body", response.text()).await.unwrap() }
}

/// The document that the service serves, with access to its operations.
struct Contract(Value);

impl Contract {
    async fn of(service: &TestService) -> Self {
        Self(ask(service, "GET", "/openapi.json", None, None).await.json())
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(&reference[1..]).unwrap(),
            None => value,
        }
    }

    /// Checks that the operation declares this response, with its media type and schema.
    fn allows(&self, method: &str, route: &str, answer: &Answer) {
        let declared = &self.0["paths"][route][method.to_lowercase()]["responses"];
        let response = self.resolved(&declared[answer.status.to_string()]);
        let what = format!("{method} {route} answered {} {}: {}", answer.status, answer.media, answer.text);
        let content = response["content"].as_object().unwrap_or_else(|| panic!("not declared: {what}"));
        let (media, content) = content.iter().next().unwrap();
        assert_eq!(answer.media.split(';').next(), Some(media.as_str()), "{what}");
        if content["schema"].is_object() {
            let mut schema = content["schema"].clone();
            schema["components"] = self.0["components"].clone();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            let values: Vec<Value> = match media.as_str() {
                "application/x-ndjson" => {
                    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
                }
                _ => vec![answer.json()],
            };
            let errors = values.iter().flat_map(|value| validator.iter_errors(value).map(|e| e.to_string()));
            let errors: Vec<_> = errors.collect();
            assert!(errors.is_empty(), "{errors:?}: {what}");
        }
    }

    /// Every operation of the public listener, except the stream: method and route. The sockets refuse requests without an
    /// upgrade.
    fn operations(&self) -> Vec<(String, String)> {
        let paths = self.0["paths"].as_object().unwrap();
        let all = paths.iter().flat_map(|(route, methods)| {
            let operations = methods.as_object().unwrap().iter();
            let public = operations.filter(|(_, operation)| operation["tags"][0] != "operations");
            public.map(move |(method, _)| (method.to_uppercase(), route.clone()))
        });
        all.filter(|(_, route)| route != "/v1/stream").collect()
    }
}

const NOWHERE: &str = "01a1ee56-5e01-7c3d-8e4f-00000000dead";

fn filled(route: &str) -> String {
    route
        .replace("{run_id}", NOWHERE)
        .replace("{call_id}", "c")
        .replace("{thread_id}", "t")
        .replace("{agent_name}", "puppet")
        .replace("{frame}", "hello")
}

#[tokio::test]
async fn contract_is_served_without_credentials() {
    let service = TestService::start().await;
    let contract = Contract::of(&service).await;
    assert_eq!(contract.0, quintet::wire::openapi::document());
    let channels = ask(&service, "GET", "/asyncapi.json", None, None).await;
    assert_eq!(channels.json(), quintet::wire::asyncapi::document());
    for name in quintet::wire::schema::names() {
        let answer = ask(&service, "GET", &format!("/schema/{name}.json"), None, None).await;
        assert_eq!((answer.status, Some(answer.json())), (200, quintet::wire::schema::frame(name)), "{name}");
    }
    for path in ["/schema/nothing.json", "/schema/hello", "/schema/..%2fhello.json", "/schema/%ff.json"] {
        let answer = ask(&service, "GET", path, None, None).await;
        assert_eq!(answer.status, 404, "{path}");
        contract.allows("GET", "/schema/{frame}.json", &answer);
    }
}

/// Every declared operation exists, and refuses in the declared way.
#[tokio::test]
async fn every_operation_refuses_as_described() {
    let service = TestService::start().await;
    let contract = Contract::of(&service).await;
    let token = service.token("ann");
    let operations = contract.operations();
    assert!(operations.len() > 12, "{operations:?}");
    for (method, route) in operations {
        let path = filled(&route);
        if (route.starts_with("/v1/") && route != "/v1/ws") || route.starts_with("/agui") {
            let anonymous = ask(&service, &method, &path, None, None).await;
            assert_eq!(anonymous.status, 401, "{method} {route}");
            contract.allows(&method, &route, &anonymous);
        }
        for body in
            [None, Some("{}"), Some("nope"), Some("[]"), Some("{\"ttl_ms\":-1,\"text\":7,\"status\":1}")]
        {
            let body = body.filter(|_| method == "POST");
            contract.allows(&method, &route, &ask(&service, &method, &path, Some(&token), body).await);
        }
        let wild =
            ask(&service, &method, &format!("{path}?limit=0&after=-1&before=x"), Some(&token), None).await;
        contract.allows(&method, &route, &wild);
    }
}

/// One run with all kinds of events, read over every route: each response fits its description.
#[tokio::test]
async fn responses_and_frames_fit_their_schemas() {
    let mut service = TestService::start().await;
    let contract = Contract::of(&service).await;
    let token = service.token("ann");
    let (mut client, ready) = service.open("ann").await;
    let mut heard = vec![ready];

    let message = r#"{"message_id":"m1","thread_id":"t","text":"hi"}"#;
    let accepted = ask(&service, "POST", "/v1/messages", Some(&token), Some(message)).await;
    assert_eq!(accepted.status, 202);
    contract.allows("POST", "/v1/messages", &accepted);
    let run_id = accepted.json()["run_id"].as_str().unwrap().to_owned();

    let run = service.launched().await;
    think(&run.handle, "hm").await;
    open_call(&run.handle, "c1", CallOwner::Agent).await;
    open_call(&run.handle, "q1", CallOwner::Client).await;
    close_call(&run.handle, "c1").await;
    let call = format!("/v1/runs/{run_id}/calls/q1");
    for status in [200, 409] {
        let closed =
            ask(&service, "POST", &call, Some(&token), Some(r#"{"status":"ok","results":[1]}"#)).await;
        assert_eq!(closed.status, status);
        contract.allows("POST", "/v1/runs/{run_id}/calls/{call_id}", &closed);
    }
    say(&run.handle, "yes").await;
    succeed(&run.handle).await;
    heard.extend(client.until("agent_completed").await);

    client.message("m1", "hi").await;
    heard.push(client.expect("accepted").await);
    client.send_frame(json!({"type": "cancel_run", "run_id": run_id})).await;
    heard.push(client.expect_error("run_ended").await);
    client.send_frame(json!({"type": "renew", "token": token})).await;
    heard.push(client.expect("renewed").await);
    client.send_frame(json!({"type": "ping", "nonce": 1.5})).await;
    heard.push(client.expect("pong").await);

    let validator = jsonschema::draft202012::new(&quintet::wire::schema::frame("server").unwrap()).unwrap();
    for frame in &heard {
        assert!(validator.is_valid(frame), "{frame}");
    }
    assert!(heard.len() > 11, "{heard:?}");

    client.message("m2", "more").await;
    client.until("accepted").await;
    let second = service.launched().await;
    let cancel = format!("/v1/runs/{}/cancel", second.run_id);
    for (method, route, path, status) in [
        ("GET", "/v1/entries", "/v1/entries?limit=3".to_owned(), 200),
        ("GET", "/v1/entries", "/v1/entries?after=3".to_owned(), 200),
        ("GET", "/v1/threads", "/v1/threads".to_owned(), 200),
        ("GET", "/v1/threads/{thread_id}/entries", "/v1/threads/t/entries?limit=2".to_owned(), 200),
        ("GET", "/v1/threads/{thread_id}/entries", "/v1/threads/none/entries".to_owned(), 404),
        ("GET", "/v1/threads/{thread_id}/runs", "/v1/threads/t/runs?limit=2".to_owned(), 200),
        ("GET", "/v1/threads/{thread_id}/runs", "/v1/threads/none/runs".to_owned(), 404),
        ("DELETE", "/v1/threads/{thread_id}", "/v1/threads/none".to_owned(), 404),
        ("GET", "/v1/calls", "/v1/calls?open=true".to_owned(), 200),
        ("GET", "/v1/calls", "/v1/calls".to_owned(), 400),
        ("GET", "/v1/runs/{run_id}", format!("/v1/runs/{run_id}"), 200),
        ("POST", "/v1/runs/{run_id}/cancel", format!("/v1/runs/{run_id}/cancel"), 409),
        ("GET", "/v1/runs/{run_id}", format!("/v1/runs/{}", second.run_id), 200),
        ("POST", "/v1/runs/{run_id}/cancel", cancel, 200),
        ("GET", "/v1/agents", "/v1/agents".to_owned(), 200),
        ("POST", "/v1/tickets", "/v1/tickets".to_owned(), 201),
    ] {
        let answer = ask(&service, method, &path, Some(&token), None).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        contract.allows(method, route, &answer);
    }
    for (body, status) in [(r#"{"title":"Hi"}"#, 200), (r#"{"title":""}"#, 400)] {
        let updated = ask(&service, "PATCH", "/v1/threads/t", Some(&token), Some(body)).await;
        assert_eq!(updated.status, status, "{}", updated.text);
        contract.allows("PATCH", "/v1/threads/{thread_id}", &updated);
    }
    let login = ask(&service, "POST", "/dev/login", None, Some(r#"{"user_id":"ann"}"#)).await;
    assert_eq!(login.status, 200);
    contract.allows("POST", "/dev/login", &login);
}

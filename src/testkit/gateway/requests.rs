//! Plain HTTP: a client that knows only the routes.

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{TestService, http_client, soon};

/// A complete response.
#[derive(Clone, Debug)]
pub struct HttpReply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl HttpReply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the body; panics unless the status is this success.
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/json");
        self.json()
    }

    /// Returns the body; panics unless it is a problem with this status and code.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        problem
    }
}

impl TestService {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.listen)
    }

    pub async fn get(&self, user: &str, path: &str) -> HttpReply {
        self.reply(http_client().get(self.url(path)).bearer_auth(self.token(user))).await
    }

    pub async fn post(&self, user: &str, path: &str, body: &Value) -> HttpReply {
        self.reply(http_client().post(self.url(path)).bearer_auth(self.token(user)).json(body)).await
    }

    /// A request without credentials.
    pub fn ask(&self, method: &str, path: &str) -> RequestBuilder {
        http_client().request(Method::from_bytes(method.as_bytes()).unwrap(), self.url(path))
    }

    pub async fn reply(&self, request: RequestBuilder) -> HttpReply {
        let response = soon("an answer", request.send()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        HttpReply { status, headers, text: soon("its body", response.text()).await.unwrap() }
    }
}

/// All routes that require authentication.
pub const ROUTES: [(&str, &str); 21] = [
    ("POST", "/v1/tickets"),
    ("POST", "/v1/messages"),
    ("GET", "/v1/entries"),
    ("GET", "/v1/export"),
    ("GET", "/v1/threads"),
    ("GET", "/v1/threads/t/entries"),
    ("GET", "/v1/threads/t/runs"),
    ("PATCH", "/v1/threads/t"),
    ("DELETE", "/v1/threads/t"),
    ("DELETE", "/v1/log"),
    ("GET", "/v1/calls?open=true"),
    ("GET", "/v1/runs/018f3c2e-7b1a-7c3d-8e4f-0123456789ab"),
    ("POST", "/v1/runs/018f3c2e-7b1a-7c3d-8e4f-0123456789ab/cancel"),
    ("POST", "/v1/runs/018f3c2e-7b1a-7c3d-8e4f-0123456789ab/calls/c"),
    ("GET", "/v1/agents"),
    ("GET", "/v1/stream"),
    ("POST", "/agui"),
    ("GET", "/agui/info"),
    ("POST", "/agui/agent/puppet/run"),
    ("POST", "/agui/agent/puppet/connect"),
    ("POST", "/agui/agent/puppet/stop/t"),
];

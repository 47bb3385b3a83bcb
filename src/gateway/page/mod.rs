//! The chat page of `quintet dev`: static files embedded in the binary.
//!
//! Guarantees: the page loads nothing from other origins. Every response carries a content-security policy
//! that blocks inline code, foreign sources and framing. Responses are revalidated by entity tag (`304`), so
//! a browser never shows a stale version.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// Returns the routes `/`, `/t/<thread>` and `/page/<file>`. The page itself reads the thread from its address.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(index)).route("/t/{thread}", get(index)).route("/page/{file}", get(file))
}

async fn index(headers: HeaderMap) -> Response {
    answer(INDEX, &headers)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer(&name, &headers)
}

/// Returns the file with this name, `304` if the browser has the current version, or `404`.
fn answer(name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, GUARDS).into_response();
    };
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| names(tags, &asset.etag));
    let etag = [(header::ETAG, asset.etag.clone())];
    if known {
        return (StatusCode::NOT_MODIFIED, GUARDS, etag).into_response();
    }
    (GUARDS, etag, [(header::CONTENT_TYPE, asset.content_type)], asset.bytes).into_response()
}

/// Returns whether an `If-None-Match` list contains `etag`.
fn names(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(etag)) = (tags.to_str(), etag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    etag: HeaderValue,
}

impl Asset {
    fn new(name: &'static str, bytes: &'static [u8]) -> Self {
        let content_type = match name.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "application/octet-stream",
        };
        let etag = format!("\"{}\"", &blake3::hash(bytes).to_hex()[..32]);
        let etag = HeaderValue::try_from(etag).expect("hexadecimal digits in quotes are a header value");
        Self { name, content_type, bytes, etag }
    }
}

const INDEX: &str = "index.html";

macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        [$(Asset::new($name, include_bytes!($name))),+]
    };
}

static ASSETS: LazyLock<[Asset; 41]> = LazyLock::new(|| {
    assets![
        "index.html",
        "style.css",
        "threads.css",
        "answer.css",
        "developer.css",
        "icon.svg",
        "quintet.js",
        "main.js",
        "actions.js",
        "activity.js",
        "composer.js",
        "dom.js",
        "intents.js",
        "json.js",
        "links.js",
        "markdown-inline.js",
        "markdown-view.js",
        "markdown.js",
        "panels.js",
        "questions.js",
        "run.js",
        "schema.js",
        "scripts.js",
        "session.js",
        "storage.js",
        "thread-menu.js",
        "threads.js",
        "trace.js",
        "traces.js",
        "view-activity.js",
        "view-call.js",
        "view-event.js",
        "view-fields.js",
        "view-question.js",
        "view-run.js",
        "view-scripts.js",
        "view-threads.js",
        "view-wire.js",
        "view.js",
        "wire.js",
        "words.js",
    ]
});

/// Headers of every response, including `404`.
const GUARDS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-cache"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(answer: &Response, name: HeaderName) -> &str {
        answer.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    #[test]
    fn every_answer_is_guarded_and_typed() {
        let expected = [
            ("index.html", "text/html; charset=utf-8"),
            ("style.css", "text/css; charset=utf-8"),
            ("main.js", "text/javascript; charset=utf-8"),
            ("icon.svg", "image/svg+xml"),
            ("nothing.js", ""),
        ];
        for (name, content_type) in expected {
            let answer = answer(name, &HeaderMap::new());
            assert_eq!(answer.status() == StatusCode::OK, !content_type.is_empty(), "{name}");
            assert_eq!(header_of(&answer, header::CONTENT_TYPE), content_type, "{name}");
            assert!(header_of(&answer, header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none';"));
            assert_eq!(header_of(&answer, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(header_of(&answer, header::REFERRER_POLICY), "no-referrer");
            assert_eq!(header_of(&answer, header::CACHE_CONTROL), "no-cache");
        }
    }

    #[test]
    fn a_browser_with_the_current_version_gets_304() {
        let first = answer(INDEX, &HeaderMap::new());
        let etag = first.headers()[header::ETAG].clone();
        for (sent, status) in [
            (etag.to_str().unwrap().to_owned(), StatusCode::NOT_MODIFIED),
            (format!("\"other\", W/{}", etag.to_str().unwrap()), StatusCode::NOT_MODIFIED),
            ("\"other\"".to_owned(), StatusCode::OK),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(&sent).unwrap());
            assert_eq!(answer(INDEX, &headers).status(), status, "{sent}");
        }
    }

    /// The policy forbids inline code and style; a file that relied on them would be broken.
    #[test]
    fn no_file_needs_what_the_policy_forbids() {
        for asset in ASSETS.iter() {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for forbidden in
                ["http://", "https://", " style=", " onclick=", "innerHTML", "outerHTML", "eval("]
            {
                let allowed = asset.name == "icon.svg" && forbidden == "http://"; // its XML namespace
                assert!(allowed || !text.contains(forbidden), "{} contains {forbidden}", asset.name);
            }
            if asset.name.ends_with(".html") {
                assert_eq!(
                    text.matches("<script").count(),
                    text.matches("<script type=\"module\" src=").count()
                );
                assert_eq!(text.matches("<style").count(), 0);
            }
        }
    }

    /// Each module that a script imports is embedded.
    #[test]
    fn no_import_is_missing() {
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for line in text.lines().filter(|line| line.contains(" from './")) {
                let (_, name) = line.split_once(" from './").unwrap();
                let name = name.trim_end_matches("';");
                assert!(ASSETS.iter().any(|other| other.name == name), "{} imports {name}", asset.name);
            }
        }
    }
}

//! `quintet serve`: the credentials it accepts, the routes it lacks, and the permissions of its files.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use quintet::runtime::clock;
use serde_json::{Value, json};

use crate::command::{Service, on_free_ports, outcome, run};

const SECRET: &[u8] = b"a secret of the tests, 32 bytes.";

fn token(claims: Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), &claims, key).unwrap()
}

fn in_a_minute() -> u64 {
    clock::now().0 / 1000 + 60
}

fn serve(folder: &std::path::Path, more: &[&str]) -> Service {
    let secret = folder.join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let mut flags =
        vec!["--jwt-secret", secret.to_str().unwrap(), "--allow-origin", "https://chat.example.org"];
    flags.extend(more);
    Service::start("serve", &folder.join("data"), &flags)
}

#[tokio::test]
async fn auth_5_only_tokens_of_the_configured_key_audience_and_issuer_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let service = serve(folder.path(), &["--jwt-audience", "quintet", "--jwt-issuer", "id"]);
    let key = EncodingKey::from_secret(SECRET);
    let claims = |more: Value| {
        let mut claims = json!({"sub": "ada", "exp": in_a_minute(), "aud": "quintet", "iss": "id"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let good = token(claims(json!({})), &key, Algorithm::HS256);
    let (status, page) = service.get("/v1/entries", &good).await;
    assert_eq!((status, &page["head"]), (200, &json!(0)));
    let other = EncodingKey::from_secret(&[b'x'; 32]);
    let refused = [
        token(claims(json!({})), &other, Algorithm::HS256),
        token(claims(json!({"exp": in_a_minute() - 61})), &key, Algorithm::HS256),
        token(claims(json!({"aud": "another"})), &key, Algorithm::HS256),
        token(claims(json!({"iss": "another"})), &key, Algorithm::HS256),
        token(claims(json!({"nbf": in_a_minute()})), &key, Algorithm::HS256),
        token(claims(json!({"sub": ""})), &key, Algorithm::HS256),
        token(claims(json!({"sub": "x".repeat(257)})), &key, Algorithm::HS256),
        token(json!({"exp": in_a_minute(), "aud": "quintet", "iss": "id"}), &key, Algorithm::HS256),
        String::new(),
        "ada".to_owned(),
    ];
    for token in refused {
        let (status, problem) = service.get("/v1/entries", &token).await;
        assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")), "{token}");
    }
    service.drained();
}

#[tokio::test]
async fn token_for_a_public_key_in_pem_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/ed25519.public.pem");
    let private = include_bytes!("../keys/ed25519.private.pem");
    let flags = ["--jwt-public-key", public, "--allow-origin", "https://chat.example.org"];
    let service = Service::start("serve", folder.path(), &flags);
    let signing = EncodingKey::from_ed_pem(private).unwrap();
    let good = token(json!({"sub": "ada", "exp": in_a_minute()}), &signing, Algorithm::EdDSA);
    assert_eq!(service.get("/v1/entries", &good).await.0, 200);
    let forged = EncodingKey::from_secret(&std::fs::read(public).unwrap());
    let forged = token(json!({"sub": "ada", "exp": in_a_minute()}), &forged, Algorithm::HS256);
    assert_eq!(service.get("/v1/entries", &forged).await.0, 401);
    service.drained();
}

#[tokio::test]
async fn auth_5_serve_has_no_login_no_page_and_no_rehearsal() {
    let folder = tempfile::tempdir().unwrap();
    let service = serve(folder.path(), &[]);
    let (status, problem) = service.post("/dev/login", "", &json!({"user_id": "ada"})).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
    assert_eq!(service.get("/", "").await.0, 404);
    let good = token(
        json!({"sub": "ada", "exp": in_a_minute()}),
        &EncodingKey::from_secret(SECRET),
        Algorithm::HS512,
    );
    let (_, agents) = service.get("/v1/agents", &good).await;
    let names: Vec<_> =
        agents["agents"].as_array().unwrap().iter().map(|agent| &agent["agent_name"]).collect();
    assert_eq!(names, ["assistant"]);
    let message = json!({"message_id": "m", "thread_id": "t", "text": "{}", "agent_name": "rehearsal"});
    let (status, problem) = service.post("/v1/messages", &good, &message).await;
    assert_eq!((status, &problem["code"]), (400, &json!("unknown_agent")));
    service.drained();
}

#[tokio::test]
async fn auth_5_a_service_whose_key_set_cannot_be_fetched_is_not_ready_and_logs_it() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--jwks-url",
        "https://127.0.0.1:1/jwks?api_key=s3cret",
        "--jwt-audience",
        "quintet",
        "--allow-origin",
        "https://chat.example.org",
    ];
    let service = Service::start("serve", folder.path(), &flags);
    let ready = reqwest::get(format!("http://{}/readyz", service.ready["admin_listen"].as_str().unwrap()));
    let ready = ready.await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("jwks_url"));
    let (status, problem) = service.get("/v1/entries", "a.b.c").await;
    assert_eq!((status, &problem["code"]), (401, &json!("unauthenticated")), "no token at all");
    let good = token(
        json!({"sub": "ada", "exp": in_a_minute(), "aud": "quintet"}),
        &EncodingKey::from_secret(SECRET),
        Algorithm::HS256,
    );
    let (status, problem) = service.get("/v1/entries", &good).await;
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));
    let log = service.drained();
    assert!(log.contains("key set not fetched") && !log.contains("s3cret"), "{log}");
}

#[tokio::test]
async fn auth_6_folders_and_files_are_private_and_links_are_not_followed() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let (data, copy) = (place.path().join("data"), place.path().join("copy"));
    let trace = place.path().join("trace.jsonl");
    let service = Service::dev(&data, &["--trace", trace.to_str().unwrap()]);
    let loose = |folder: &std::path::Path| {
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let all = files.chain([folder.to_owned()]);
        let mode = |path: &std::path::PathBuf| path.metadata().unwrap().permissions().mode();
        all.filter(|path| mode(path) & 0o077 != 0).collect::<Vec<_>>()
    };
    assert_eq!(trace.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let backup = run(&["backup", "--data-dir", data.to_str().unwrap(), "--to", copy.to_str().unwrap()]);
    assert_eq!(backup.code, 0, "{}", backup.stderr);
    assert_eq!((loose(&data), loose(&copy)), (vec![], vec![]));
    service.drained();

    let linked = place.path().join("linked");
    std::fs::create_dir(&linked).unwrap();
    let victim = place.path().join("victim");
    for name in ["quintet.lock", "quintet.db"] {
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, linked.join(name)).unwrap();
        let refused = outcome(on_free_ports("dev", &linked));
        assert_eq!(refused.code, 1, "{name}: {}", refused.stderr);
        assert!(refused.stderr.contains("symbolic link"), "{name}: {}", refused.stderr);
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        std::fs::remove_file(linked.join(name)).unwrap();
    }
}

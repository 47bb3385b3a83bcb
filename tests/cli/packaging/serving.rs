//! The example configurations, nginx in front of the service, and the health check of the image.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use quintet_testkit::ports::spare_port;
use serde_json::{Value, json};

use super::{files, succeeds, tool};
use crate::command::{PATIENCE, Service, run, soon};

#[test]
fn example_configurations_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys/ed25519.public.pem");
    for name in ["config/quintet.toml", "compose/quintet.toml"] {
        let text = files::read(name);
        let with_key = text.replace("/etc/quintet/jwt.pub.pem", key.to_str().unwrap());
        assert_ne!(text, with_key);
        let file = folder.path().join("quintet.toml");
        std::fs::write(&file, with_key).unwrap();
        let checked = run(&["check-config", "--config", file.to_str().unwrap()]);
        assert_eq!(checked.code, 0, "{name}: {}", checked.stderr);
        assert!(checked.stdout.contains("https://chat.example.com"), "{}", checked.stdout);
    }
}

/// A program that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_tls_passes_requests_sockets_and_streams_on() {
    let Some(nginx) = tool("NGINX_PROGRAM") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let hosts = ["--set", "hosts=chat.example.com", "--set", "trusted_proxies=127.0.0.1"];
    let service = Service::dev(&folder.path().join("data"), &hosts);
    let [plain, tls] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], spare_port())));
    let subject = ["-subj", "/CN=chat.example.com", "-addext", "subjectAltName=DNS:chat.example.com"];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let (key, certificate) = (path("privkey.pem"), path("fullchain.pem"));
    let made = ["-keyout", &*key, "-out", &*certificate, "-days", "2"];
    let kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    succeeds("openssl", &[&kind[..], &made[..], &subject[..], &leaf[..]].concat()).unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String =
        temporary.iter().map(|name| format!("{name}_temp_path {};\n", path(name))).collect();
    let config = files::read("compose/nginx.conf")
        .replace("server quintet:8080;", &format!("server {};", service.listen()))
        .replace("listen 80;", &format!("listen {plain};"))
        .replace("listen 443 ", &format!("listen {tls} "))
        .replace("/etc/nginx/tls", folder.path().to_str().unwrap())
        .replace("worker_rlimit_nofile 80000;", "worker_processes 1;")
        .replace("worker_connections 40000;", "worker_connections 200;")
        .replace("http {", &format!("http {{\n{temporary}"));
    std::fs::write(path("nginx.conf"), config).unwrap();
    // One process, so that its end leaves no worker behind.
    let globals = format!("daemon off; master_process off; pid {};", path("nginx.pid"));
    let configuration = path("nginx.conf");
    let arguments = ["-e", "stderr", "-c", &*configuration, "-g", &*globals];
    succeeds(&nginx, &[&["-t"][..], &arguments[..]].concat()).unwrap();
    let _nginx = Running(Command::new(&nginx).args(arguments).stdin(Stdio::null()).spawn().unwrap());

    let root = reqwest::Certificate::from_pem(&std::fs::read(&certificate).unwrap()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .resolve("chat.example.com", tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let url = |path: &str| format!("https://chat.example.com:{}{path}", tls.port());
    // nginx takes a moment until it listens.
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let listens = async {
        loop {
            looks.tick().await;
            match client.get(url("/openapi.json")).send().await {
                Ok(answer) => return answer,
                Err(error) => println!("{error:?}"),
            }
        }
    };
    let answer = soon(listens).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    assert_eq!(client.get(url("/metrics")).send().await.unwrap().status(), 404);
    let redirected =
        client.get(format!("http://{plain}/")).header("host", "chat.example.com").send().await.unwrap();
    let location = redirected.headers()["location"].to_str().unwrap();
    assert_eq!((redirected.status().as_u16(), location), (301, "https://chat.example.com/"));

    let token = service.login("ada").await;
    let message = json!({"message_id": "m1", "thread_id": "t1", "text": "what is 6 * 7?"});
    let sent = client.post(url("/v1/messages")).bearer_auth(&token).json(&message).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    let mut stream = client.get(url("/v1/stream?after=0")).bearer_auth(&token).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("agent_completed") {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(&chunk.expect("the stream goes on")));
    }
    let upgrade = client
        .get(url("/v1/ws"))
        .bearer_auth(&token)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "quintet.v1");
    assert_eq!(upgrade.send().await.unwrap().status(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_of_the_image_follows_the_service() {
    let dockerfile = files::read("docker/Dockerfile");
    let line = dockerfile.lines().find(|line| line.starts_with("HEALTHCHECK ")).unwrap();
    let command: Vec<String> = serde_json::from_str(line.split_once(" CMD ").unwrap().1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let service = Service::dev(folder.path(), &[]);
    let admin: SocketAddr = Value::as_str(&service.ready["admin_listen"]).unwrap().parse().unwrap();
    let check = || {
        let arguments: Vec<String> =
            command[1..].iter().map(|part| part.replace("/9090", &format!("/{}", admin.port()))).collect();
        succeeds(&command[0], &arguments)
    };
    check().unwrap();
    service.drained();
    assert!(check().is_err(), "no service listens");
}

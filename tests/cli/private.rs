//! A model behind a proxy and with a private authority, by the settings `upstream_proxy` and `upstream_ca_file`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};

use crate::{
    command::Service,
    models::{Model, ask},
};

fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/upstream/tests/tls").join(name)
}

/// Reads a request.
fn read(stream: impl Read) -> Option<Vec<u8>> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut request).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&request).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some([request, body].concat())
}

/// A proxy whose tunnels end at a model with the certificate of `model.test`. Returns its address, and the heads of the
/// requests for tunnels.
fn proxy(model: &str) -> (String, mpsc::Receiver<String>) {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(tls("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(tls("server.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let config = Arc::new(config.unwrap());
    let model = model.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, tunnels) = mpsc::channel();
    // The threads end with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, sender, model) = (config.clone(), sender.clone(), model.clone());
            thread::spawn(move || tunnel(stream.ok()?, config, &sender, &model));
        }
    });
    (url, tunnels)
}

fn tunnel(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
    tunnels: &mpsc::Sender<String>,
    model: &str,
) -> Option<()> {
    tunnels.send(String::from_utf8(read(&stream)?).ok()?).ok()?;
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
    let mut connection = ServerConnection::new(config).ok()?;
    let mut inside = Stream::new(&mut connection, &mut stream);
    let request = String::from_utf8(read(&mut inside)?).ok()?;
    let mut to_model = TcpStream::connect(model).ok()?;
    to_model.write_all(request.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes()).ok()?;
    let mut response = Vec::new();
    to_model.read_to_end(&mut response).ok()?;
    inside.write_all(&response).ok()?;
    inside.conn.send_close_notify();
    inside.flush().ok()
}

/// Asks a model by these settings, and returns the end of the run.
async fn end_with(settings: &[String]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--llm-url", "https://model.test/v1", "--llm-model", "tiny"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting.as_str()]);
    let service = Service::dev(folder.path(), &flags.into_iter().chain(settings).collect::<Vec<_>>());
    let end = ask(&service).await;
    service.drained();
    end
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_reached_by_the_proxy_and_the_authority_of_the_settings() {
    let (model, url) = Model::start().await;
    let (proxy, tunnels) = proxy(&url);
    let authority = |name: &str| format!("upstream_ca_file={}", tls(name).display());
    let proxy = format!("upstream_proxy={proxy}");
    let end = end_with(&[proxy.clone(), authority("ca.pem")]).await;
    assert_eq!((&end["status"], &end["final_response"]), (&json!("succeeded"), &json!("It is 42.")), "{end}");
    let seen: Vec<String> = tunnels.try_iter().collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|head| head.starts_with("CONNECT model.test:443 ")), "{seen:?}");
    assert_eq!(model.requests.lock().unwrap().len(), 2);
    // Without the authority, the model is not trusted.
    for settings in [vec![proxy.clone()], vec![proxy, authority("other-ca.pem")]] {
        let end = end_with(&settings).await;
        assert_eq!((&end["status"], &end["error"]["code"]), (&json!("failed"), &json!("upstream")), "{end}");
    }
    assert_eq!(model.requests.lock().unwrap().len(), 2, "AUTH-6: no request reaches it");
}

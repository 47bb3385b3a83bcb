//! A client behind a proxy, and an upstream with a private authority: real requests over TLS.

use std::{
    io::{BufRead, BufReader, Read, Write, copy},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use quintet_upstream::{HttpClient, HttpOptions};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// The heads of the requests that a service has seen, in lower case.
struct Seen {
    port: u16,
    heads: mpsc::Receiver<String>,
}

impl Seen {
    fn next(&self) -> String {
        self.heads.recv_timeout(Duration::from_secs(20)).expect("a request comes")
    }

    fn is_empty(&self) -> bool {
        self.heads.try_recv().is_err()
    }
}

/// Serves each connection on a thread, which ends with the process.
fn serve(each: impl Fn(TcpStream, &mpsc::Sender<String>) -> Option<()> + Send + Sync + 'static) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heads) = mpsc::channel();
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (each, sender) = (each.clone(), sender.clone());
            thread::spawn(move || each(stream, &sender));
        }
    });
    Seen { port, heads }
}

fn head(stream: impl Read) -> Option<String> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head.to_lowercase())
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// A service with the certificate of `model.test` and `localhost`.
fn upstream() -> Seen {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(tls("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(tls("server.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let config = Arc::new(config.unwrap());
    serve(move |mut stream, seen| {
        let mut connection = ServerConnection::new(config.clone()).unwrap();
        let mut stream = Stream::new(&mut connection, &mut stream);
        seen.send(head(&mut stream)?).ok()?;
        stream.write_all(OK).ok()?;
        stream.conn.send_close_notify();
        stream.flush().ok()
    })
}

/// Connects two streams until both have ended.
fn join(one: TcpStream, other: TcpStream) -> Option<()> {
    let (mut from, mut to) = (one.try_clone().ok()?, other.try_clone().ok()?);
    let back = thread::spawn(move || {
        let _cut = copy(&mut from, &mut to);
        let _gone = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (other, one);
    let _cut = copy(&mut from, &mut to);
    let _gone = to.shutdown(Shutdown::Write);
    back.join().ok()
}

/// A proxy over HTTP that leads every connection to this port, and answers other requests itself.
fn proxy(port: u16) -> Seen {
    serve(move |mut stream, seen| {
        let head = head(&stream)?;
        let is_tunnel = head.starts_with("connect ");
        seen.send(head).ok()?;
        if !is_tunnel {
            return stream.write_all(OK).ok();
        }
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
        join(stream, TcpStream::connect(("127.0.0.1", port)).ok()?)
    })
}

/// A proxy of version 5 of SOCKS (RFC 1928) without authentication.
fn socks(port: u16) -> Seen {
    serve(move |mut stream, seen| {
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting).ok()?;
        let mut methods = vec![0; greeting[1].into()];
        stream.read_exact(&mut methods).ok()?;
        stream.write_all(&[5, 0]).ok()?;
        let mut request = [0; 4];
        stream.read_exact(&mut request).ok()?;
        let mut length = [4];
        if request[3] == 3 {
            stream.read_exact(&mut length).ok()?;
        }
        let mut address = vec![0; usize::from(length[0]) + 2];
        stream.read_exact(&mut address).ok()?;
        seen.send(format!("{request:?}")).ok()?;
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
        join(stream, TcpStream::connect(("127.0.0.1", port)).ok()?)
    })
}

fn client(proxy: Option<String>, authority: Option<&str>) -> HttpClient {
    HttpClient::new(&HttpOptions {
        proxy: proxy.map(|url| url.parse().unwrap()),
        ca_file: authority.map(tls),
        ..HttpOptions::default()
    })
    .unwrap()
}

/// Sends a request with a key by each of both clients. The error has no address.
async fn ask(client: &HttpClient, url: &str) -> Result<(), String> {
    for client in [client.repeatable(), client.unrepeatable()] {
        let request = client.get(url).bearer_auth("sk-model");
        let response = request.send().await.map_err(quintet_upstream::client::describe)?;
        assert_eq!(response.text().await.unwrap(), "ok");
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_with_a_private_authority_is_trusted_with_its_certificate_alone() {
    let upstream = upstream();
    let url = format!("https://localhost:{}/v1", upstream.port);
    ask(&client(None, Some("ca.pem")), &url).await.unwrap();
    for _ in 0..2 {
        assert!(upstream.next().contains("authorization: bearer sk-model"));
    }
    for authority in [None, Some("other-ca.pem")] {
        let refused = ask(&client(None, authority), &url).await.unwrap_err();
        assert!(refused.contains("certificate"), "{refused}");
    }
    // The certificate is for names, and not for this address.
    let url = format!("https://127.0.0.1:{}/v1", upstream.port);
    let refused = ask(&client(None, Some("ca.pem")), &url).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    assert!(upstream.is_empty(), "AUTH-6: no key is sent to an upstream that is not trusted");
}

#[tokio::test]
async fn a_proxy_is_used_and_does_not_see_the_key() {
    let upstream = upstream();
    let proxy = proxy(upstream.port);
    let client = client(Some(format!("http://user:word@127.0.0.1:{}", proxy.port)), Some("ca.pem"));
    ask(&client, "https://model.test/v1").await.unwrap();
    for _ in 0..2 {
        let tunnel = proxy.next();
        assert!(tunnel.starts_with("connect model.test:443 http/1.1\r\n"), "{tunnel}");
        // `user:word` in base64, in lower case here.
        assert!(tunnel.contains("proxy-authorization: basic dxnlcjp3b3jk"), "{tunnel}");
        assert!(!tunnel.contains("sk-model"), "{tunnel}");
        let request = upstream.next();
        assert!(request.contains("authorization: bearer sk-model"), "{request}");
        assert!(!request.contains("proxy-authorization"), "{request}");
    }
    // Without TLS, the proxy gets the whole request.
    ask(&client, "http://model.test/v1").await.unwrap();
    let request = proxy.next();
    assert!(request.starts_with("get http://model.test/v1 http/1.1\r\n"), "{request}");
}

#[tokio::test]
async fn a_proxy_of_socks_is_used() {
    let upstream = upstream();
    let proxy = socks(upstream.port);
    let url = format!("https://localhost:{}/v1", upstream.port);
    ask(&client(Some(format!("socks5://127.0.0.1:{}", proxy.port)), Some("ca.pem")), &url).await.unwrap();
    assert!(proxy.next().starts_with("[5, 1, 0, "));
    assert!(upstream.next().contains("authorization: bearer sk-model"));
}

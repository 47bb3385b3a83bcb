//! Connections to the database, and the warnings that the server sends on them.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quintet_runtime::tasks::Tasks;
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio_postgres::{
    AsyncMessage, Client, Config,
    config::{Host, SslMode, TargetSessionAttrs},
    error::Severity,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use crate::{
    fault::{Failure, OpenError},
    options::PostgresOptions,
};

/// Opens connections.
pub(crate) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    connect_timeout: Duration,
    tasks: Tasks,
}

/// An open connection.
pub(crate) struct Session {
    pub(crate) client: Client,
    warnings: Arc<AtomicU64>,
    /// Cancelled when the connection has ended.
    ended: CancellationToken,
}

impl Session {
    /// Returns the number of warnings that the server has sent so far. A warning that belongs to a statement is counted
    /// before the statement returns.
    pub(crate) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }

    /// Waits until the connection has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Connector {
    pub(crate) fn new(options: &PostgresOptions, tasks: Tasks) -> Result<Self, OpenError> {
        // The error of the parser may repeat a part of the address, which may contain a password.
        let mut config: Config =
            options.url.parse().map_err(|_| OpenError::Address("it is no address of PostgreSQL".into()))?;
        if config.get_application_name().is_none() {
            config.application_name("quintet");
        }
        if config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        // AUTH-5: `prefer` is the default of the library, and accepts a connection that an attacker downgraded.
        if config.get_ssl_mode() == SslMode::Prefer && !is_local(config.get_hosts()) {
            config.ssl_mode(SslMode::Require);
        }
        let connect_timeout = Duration::from_millis(options.limits.postgres_connect_timeout_ms);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(connect_timeout);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_millis(options.limits.postgres_append_timeout_ms));
        }
        let tls = MakeRustlsConnect::new(tls(options)?);
        Ok(Self { config, tls, connect_timeout, tasks })
    }

    pub(crate) async fn connect(&self) -> Result<Session, Failure> {
        self.connect_listening(|_| {}).await
    }

    /// Connects, and passes the payload of each notification on.
    pub(crate) async fn connect_listening(
        &self,
        notified: impl Fn(&str) + Send + 'static,
    ) -> Result<Session, Failure> {
        let opened = tokio::time::timeout(self.connect_timeout, self.config.connect(self.tls.clone())).await;
        let (client, mut connection) = opened.map_err(|_| Failure::TimedOut)??;
        let warnings = Arc::new(AtomicU64::new(0));
        let ended = CancellationToken::new();
        let (counted, ends) = (warnings.clone(), ended.clone().drop_guard());
        self.tasks.spawn(async move {
            let _ends = ends;
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                let notice = match message {
                    AsyncMessage::Notice(notice) => notice,
                    AsyncMessage::Notification(notification) => {
                        notified(notification.payload());
                        continue;
                    }
                    _ => continue,
                };
                // NODE-5: the text of a warning may be translated, so each one counts.
                let harmless = matches!(
                    notice.parsed_severity(),
                    Some(Severity::Notice | Severity::Info | Severity::Log | Severity::Debug)
                );
                if !harmless {
                    counted.fetch_add(1, Ordering::Release);
                    tracing::warn!(code = notice.code().code(), "the database sent a warning");
                }
            }
        });
        Ok(Session { client, warnings, ended })
    }
}

/// Returns true if no host is reached over a network.
fn is_local(hosts: &[Host]) -> bool {
    hosts.iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        _ => true,
    })
}

fn tls(options: &PostgresOptions) -> Result<ClientConfig, OpenError> {
    let refused = |error: &dyn std::fmt::Display| OpenError::Authorities(error.to_string());
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(file) => {
            let found = CertificateDer::pem_file_iter(file).map_err(|error| refused(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| refused(&error))?;
                roots.add(certificate).map_err(|error| refused(&error))?;
            }
            if roots.is_empty() {
                return Err(refused(&"the file has no certificate"));
            }
        }
        // Without any, a connection with TLS is refused.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssl_mode(url: &str) -> SslMode {
        Connector::new(&PostgresOptions::new(url), Tasks::default()).unwrap().config.get_ssl_mode()
    }

    #[test]
    fn auth_5_connection_over_a_network_is_encrypted_unless_the_address_turns_it_off() {
        assert_eq!(ssl_mode("postgres://a@db.example/x"), SslMode::Require);
        assert_eq!(ssl_mode("postgres://a@10.0.0.1/x?sslmode=prefer"), SslMode::Require);
        assert_eq!(ssl_mode("postgres://a@db.example/x?sslmode=disable"), SslMode::Disable);
        assert_eq!(ssl_mode("host=localhost,db.example user=a"), SslMode::Require, "one of them is remote");
        for local in ["postgres://a@127.0.0.1/x", "postgres://a@[::1]/x", "host=/run/postgresql user=a"] {
            assert_eq!(ssl_mode(local), SslMode::Prefer, "{local}");
        }
    }

    #[test]
    fn auth_6_address_is_not_in_the_error() {
        let refused = Connector::new(&PostgresOptions::new("postgres://a:secret@h/x?no=1"), Tasks::default());
        assert!(!refused.err().unwrap().to_string().contains("secret"));
    }
}

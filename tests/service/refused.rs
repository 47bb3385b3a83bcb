//! Services that must not be built, each with the reason (AUTH-4, AUTH-5).

use std::net::SocketAddr;

use quintet::{
    agent::RegistrationError,
    gateway::limits::GatewayLimits,
    journal::memory::MemoryJournal,
    ops::config::{Given, LoadedSettings, Settings},
    prelude::*,
    service::{CheckedSettings, builder::WantsAccess},
};
use tokio::net::TcpListener;

use crate::Counter;

const SECRET: &str = "JqU7XbVt0pQ2nL4sR8wY1zA5cE9gK3mH6dF";
const ORIGIN: &str = "https://chat.example.org";

fn complete() -> ServiceBuilder<WantsAccess> {
    Service::builder().agent(Counter).journal(MemoryJournal::default()).bind("127.0.0.1:0")
}

fn keys() -> TokenKeys {
    TokenKeys::hmac_secret(SECRET).unwrap()
}

/// The error, and that it is one of the program and not a failure.
fn why(built: Result<Service, ServiceError>) -> String {
    let error = built.err().expect("it is refused");
    assert!(error.is_configuration(), "{error}");
    error.to_string()
}

const PUBLIC: [&str; 5] = ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "[2001:db8::1]:80", "[::ffff:127.0.0.1]:0"];

#[test]
fn auth_5_a_development_service_on_a_public_address_is_not_built() {
    for address in PUBLIC {
        let text = why(complete().bind(address).dev().build());
        assert!(
            text.contains(address) && text.contains("127.0.0.1") && text.contains("production()"),
            "{text}"
        );
        let text = why(complete().bind_admin(address).dev().build());
        assert!(text.contains(address), "{text}");
        let listen: SocketAddr = address.parse().unwrap();
        let settings = Settings { listen, ..Settings::default() };
        why(complete().settings(settings.clone()).dev().build());
        let checked = CheckedSettings::dev(settings).unwrap_err().to_string();
        assert!(checked.contains(address) && checked.contains("set by the program"), "{checked}");
    }
}

#[tokio::test]
async fn auth_5_a_development_service_does_not_start_on_a_listener_of_a_public_address() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let public = TcpListener::bind(address).await.unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = complete().dev().build().unwrap();
        let error = service.start_on(public, admin).await.unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains("loopback"), "{error}");
    }
    for address in PUBLIC {
        let service = complete().dev().build().unwrap();
        let error = service.mount(address.parse().unwrap()).await.err().unwrap();
        assert!(error.is_configuration() && error.to_string().contains("loopback"), "{error}");
    }
}

#[test]
fn auth_5_a_development_service_takes_no_key() {
    let settings = Settings { jwt_secret: Some("secret.txt".into()), ..Settings::default() };
    assert!(why(complete().settings(settings).dev().build()).contains("jwt_secret"));
    assert!(why(complete().set("jwt_issuer", "me").dev().build()).contains("jwt_issuer"));
}

#[test]
fn auth_4_a_production_service_without_an_origin_is_not_built() {
    let text = why(complete().production(keys(), [] as [&str; 0]).build());
    assert!(text.contains("origin") && text.contains("https://chat.example.org"), "{text}");
    for wrong in ["*", "chat.example.org", "https://chat.example.org/", "null", ""] {
        let text = why(complete().production(keys(), [wrong]).build());
        assert!(text.contains("allow_origin"), "{wrong:?}: {text}");
    }
    assert!(CheckedSettings::production(Settings::default()).is_err());
}

#[test]
fn auth_5_a_production_service_without_one_valid_key_is_not_built() {
    for wrong in ["", "short", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert!(TokenKeys::hmac_secret(wrong).is_err(), "{wrong:?}");
    }
    assert!(TokenKeys::hmac_secret(include_bytes!("../keys/rsa.public.pem")).is_err());
    assert!(TokenKeys::public_key_pem(include_bytes!("../keys/rsa.private.pem")).is_err());
    let file = |keys| why(complete().production(keys, [ORIGIN]).build());
    assert!(file(TokenKeys::hmac_secret_file("/no/such/file")).contains("jwt_secret"));
    let public = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rsa.public.pem");
    assert!(file(TokenKeys::hmac_secret_file(public)).contains("jwt_secret"));
    assert!(file(TokenKeys::key_set("http://id.example.org/jwks.json", "chat")).contains("https is needed"));
    // A key of the program beside a configured one: it would not be clear which of them counts.
    let settings = Settings { jwt_public_key: Some(public.into()), ..Settings::default() };
    let text = why(complete().settings(settings).production(keys(), [ORIGIN]).build());
    assert!(text.contains("exclude each other"), "{text}");
    let both = TokenKeys::key_set_for_any_audience("https://id.example.org/jwks.json");
    let both = complete().set("jwt_audience", "chat").production(both, [ORIGIN]).build();
    assert!(why(both).contains("exclude each other"));
}

/// Ranges hold for values of a program as for those of the command line.
#[test]
fn a_setting_that_the_command_line_refuses_is_refused() {
    let out_of_range = [
        Settings {
            gateway: GatewayLimits { sockets_max: 0, ..GatewayLimits::DEFAULT },
            ..Settings::default()
        },
        Settings { trusted_proxies: vec!["not a network".to_owned()], ..Settings::default() },
        Settings { hosts: vec!["https://x".to_owned()], ..Settings::default() },
        Settings { extra_agents: vec!["unknown".to_owned()], ..Settings::default() },
        Settings {
            gateway: GatewayLimits {
                ticket_ttl_ms_default: 200_000,
                ticket_ttl_ms_max: 100_000,
                ..GatewayLimits::DEFAULT
            },
            ..Settings::default()
        },
    ];
    for settings in out_of_range {
        let text = why(complete().settings(settings.clone()).dev().build());
        assert!(text.contains("set by the program"), "{text}");
        let production = complete().settings(settings).production(keys(), [ORIGIN]).build();
        assert_eq!(why(production), text);
    }
    assert!(why(complete().set("user_connection_max", 10).dev().build()).contains("user_connections_max"));
    assert!(why(complete().set("user_connections_max", "ten").dev().build()).contains("whole number"));
    assert!(why(complete().bind("localhost").dev().build()).contains("an IP address and a port"));
    // The first mistake is the one that is returned, and a later value does not hide it.
    let twice = complete().set("sockets_max", 0).bind("nowhere").set("sockets_max", 10).dev().build();
    assert!(why(twice).contains("sockets_max"));
    let file = Given { file: Some(("q.toml".into(), "user_connections_max = 3".into())), ..Given::default() };
    let loaded =
        complete().settings(LoadedSettings::load(file).unwrap()).bind("127.0.0.1:0").dev().build().unwrap();
    assert_eq!(loaded.settings().settings().gateway.user_connections_max, 3);
}

#[test]
fn a_service_without_agent_or_journal_is_not_built() {
    let builder = || Service::builder().bind("127.0.0.1:0");
    assert!(matches!(builder().journal(MemoryJournal::default()).dev().build(), Err(ServiceError::NoAgent)));
    assert!(matches!(builder().agent(Counter).dev().build(), Err(ServiceError::NoJournal)));
    let error = complete().agent(Counter).dev().build().err().unwrap();
    assert!(
        matches!(error, ServiceError::Registration(RegistrationError::DuplicateAgent { name }) if name == "counter")
    );
    let error = complete().default_agent("other").dev().build().err().unwrap();
    assert!(
        matches!(error, ServiceError::Registration(RegistrationError::UnknownDefaultAgent { name }) if name == "other")
    );
    let folder = tempfile::tempdir().unwrap();
    let first = Service::builder().agent(Counter).sqlite(folder.path()).dev().build().unwrap();
    let second = Service::builder().agent(Counter).sqlite(folder.path()).dev().build();
    assert!(matches!(second, Err(ServiceError::Journal(_))), "one service holds the folder");
    drop(first);
}

/// Neither a key nor the text of a setting is in what a program may log of its settings (AUTH-6).
#[test]
fn auth_6_checked_settings_are_shown_without_secrets() {
    let url = "https://user:hunter2@id.example.org/jwks.json?api_key=hunter2";
    for keys in [keys(), TokenKeys::key_set(url, "chat")] {
        assert!(!format!("{keys:?}").contains("JqU7"), "{keys:?}");
        let service = complete().production(keys, [ORIGIN]).build().unwrap();
        let shown = format!("{:?}", service.settings());
        assert!(!shown.contains("hunter2") && !shown.contains("JqU7"), "{shown}");
    }
}

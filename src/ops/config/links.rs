//! Detects the variables that Kubernetes sets in each container for the services of its namespace.
//!
//! A service named `quintet` or `quintet-…` yields variables with the prefix of our settings, such as
//! `QUINTET_PORT=tcp://10.0.0.7:8080`. They are recognised by name and value, and ignored.
//! <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>

use std::net::IpAddr;

/// Returns whether a variable is a service link. `name` is the part after `QUINTET_`.
pub fn is_service_link(name: &str, value: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    // The pattern may be preceded by the rest of the service's name.
    (0..parts.len()).any(|from| match parts[from..] {
        ["SERVICE", "HOST"] => is_address(value),
        ["SERVICE", "PORT", ..] => is_port(value),
        ["PORT"] => is_endpoint(value),
        ["PORT", port, protocol] => is_port(port) && is_protocol(protocol) && is_endpoint(value),
        ["PORT", port, protocol, what] if is_port(port) && is_protocol(protocol) => match what {
            "PROTO" => is_protocol(value),
            "PORT" => is_port(value),
            "ADDR" => is_address(value),
            _ => false,
        },
        _ => false,
    })
}

/// Returns whether a value has the form `tcp://10.0.0.7:8080`.
fn is_endpoint(value: &str) -> bool {
    let Some((protocol, address)) = value.split_once("://") else { return false };
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    is_protocol(protocol) && is_address(host) && is_port(port)
}

fn is_protocol(text: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|protocol| text.eq_ignore_ascii_case(protocol))
}

fn is_address(text: &str) -> bool {
    text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_distinguished_from_settings() {
        for (name, value) in [
            ("PORT", "tcp://10.0.0.7:8080"),
            ("PORT", "udp://[fd00::7]:8080"),
            ("SERVICE_HOST", "10.0.0.7"),
            ("SERVICE_HOST", "fd00::7"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_HTTP", "8080"),
            ("SERVICE_PORT_HTTP_ADMIN", "9090"),
            ("PORT_8080_TCP", "tcp://10.0.0.7:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "10.0.0.7"),
            ("PORT_53_UDP_ADDR", "fd00::7"),
            ("PORT_9_SCTP", "sctp://10.0.0.7:9"),
            ("ADMIN_SERVICE_HOST", "10.0.0.8"),
            ("ADMIN_PORT", "tcp://10.0.0.8:9090"),
            ("ADMIN_PORT_9090_TCP_ADDR", "10.0.0.8"),
        ] {
            assert!(is_service_link(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("PORT", "8080"),
            ("PORT", "http://10.0.0.7:8080"),
            ("LISTEN", "tcp://10.0.0.7:8080"),
            ("SERVICE_HOST", "example.org"),
            ("SERVICE_PORT", "many"),
            ("SERVICE", "10.0.0.7"),
            ("PORT_X_TCP", "tcp://10.0.0.7:8080"),
            ("PORT_8080_TCP_NAME", "x"),
            ("PORT_8080", "8080"),
            ("", ""),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }

    #[test]
    fn no_setting_has_the_name_of_a_service_link() {
        for setting in super::super::table() {
            let name = setting.name.to_ascii_uppercase();
            for value in ["10.0.0.7", "8080", "tcp", "tcp://10.0.0.7:8080"] {
                assert!(!is_service_link(&name, value), "{name}");
            }
        }
    }
}

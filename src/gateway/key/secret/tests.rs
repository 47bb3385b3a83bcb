use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::*;

const PEM: &[u8] = include_bytes!("../../../../tests/keys/rsa.public.pem");
const ED25519: &[u8] = include_bytes!("../../../../tests/keys/ed25519.public.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../../tests/keys/certificate.pem");
const SSH_RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7";
const SSH_ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada@host";

fn body(pem: &[u8]) -> String {
    let text = std::str::from_utf8(pem).unwrap();
    text.lines().filter(|line| !line.starts_with("-----")).collect()
}

fn der(pem: &[u8]) -> Vec<u8> {
    STANDARD.decode(body(pem)).unwrap()
}

fn utf16(text: &[u8], mark: bool, big: bool) -> Vec<u8> {
    let mark = if mark { "\u{feff}" } else { "" };
    let text = format!("{mark}{}", std::str::from_utf8(text).unwrap());
    let units = text.encode_utf16();
    units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

/// Public or structured contents that must not be accepted as a secret, with variations.
fn spellings() -> Vec<(&'static str, Vec<u8>)> {
    let text = std::str::from_utf8(PEM).unwrap();
    let without_first_line = text.split_once('\n').unwrap().1;
    let jwk = r#"{"kty":"RSA","kid":"a","e":"AQAB","n":"u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun"}"#;
    let raw = der(ED25519)[12..].to_vec();
    let ssh_blob = SSH_ED25519.split(' ').nth(1).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let with = |before: &str, after: &str| [before.as_bytes(), PEM, after.as_bytes()].concat();
    let ed_text = std::str::from_utf8(ED25519).unwrap();
    vec![
        // Formats that earlier versions accepted.
        ("DER", der(PEM)),
        ("OpenSSH RSA", SSH_RSA.into()),
        ("OpenSSH Ed25519", SSH_ED25519.into()),
        ("raw Ed25519", raw.clone()),
        ("JWK", jwk.into()),
        ("JWKS", format!(r#"{{"keys":[{jwk}]}}"#).into()),
        ("PEM in UTF-16", utf16(PEM, true, false)),
        ("base64 without armour", body(PEM).into()),
        ("PEM without its first line", without_first_line.into()),
        ("SSH2", format!("---- BEGIN SSH2 PUBLIC KEY ----\n{ssh_blob}\n---- END SSH2 PUBLIC KEY ----\n").into()),
        // Variations.
        ("PEM", PEM.to_vec()),
        ("PEM of Ed25519", ED25519.to_vec()),
        ("PEM on one line", ed_text.replace('\n', "\\n").into()),
        ("PEM with spaces for lines", ed_text.replace('\n', " ").into()),
        ("PEM with CRLF", text.replace('\n', "\r\n").into()),
        ("PEM in lower case", text.to_lowercase().into()),
        ("PEM with blanks before it", with("  \n\n", "")),
        ("PEM with a comment", with("# the key\n", "")),
        ("PEM with a byte order mark", with("\u{feff}", "")),
        ("PEM without its last line", text.rsplit_once("\n-----END").unwrap().0.into()),
        ("PEM without both", body(ED25519).into()),
        ("PEM body with lines", without_first_line.rsplit_once("\n-----END").unwrap().0.into()),
        ("PEM twice", [PEM, ED25519].concat()),
        ("PEM in base64", STANDARD.encode(ED25519).into()),
        ("PEM in base64url", URL_SAFE_NO_PAD.encode(PEM).into()),
        ("certificate", CERTIFICATE.to_vec()),
        ("certificate in DER", der(CERTIFICATE)),
        ("UTF-16 LE without a mark", utf16(PEM, false, false)),
        ("UTF-16 BE", utf16(PEM, true, true)),
        ("UTF-16 BE without a mark", utf16(PEM, false, true)),
        ("UTF-16 of base64", utf16(body(PEM).as_bytes(), false, false)),
        ("UTF-16 of a secret", utf16(b"kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA", true, false)),
        ("DER of Ed25519", der(ED25519)),
        ("DER, cut off", der(PEM)[..200].to_vec()),
        ("DER in base64 with a line break", format!("{}\n", body(ED25519)).into()),
        ("DER in base64url", URL_SAFE_NO_PAD.encode(der(ED25519)).into()),
        ("DER in base64 without padding", STANDARD_NO_PAD.encode(der(ED25519)).into()),
        ("DER in hexadecimal", hex(&der(ED25519)).into()),
        ("DER in hexadecimal capitals", hex(&der(ED25519)).to_uppercase().into()),
        ("DER in base64 twice", STANDARD.encode(body(ED25519)).into()),
        ("DER in base64, cut off", body(PEM)[..100].into()),
        ("raw Ed25519 with a line break", [&raw[..], b"\n"].concat()),
        ("SSH blob in base64", ssh_blob.into()),
        ("SSH blob", STANDARD.decode(ssh_blob).unwrap()),
        ("known_hosts", format!("host.example.org {SSH_ED25519}").into()),
        ("authorized_keys with options", format!("no-pty {SSH_ED25519}").into()),
        ("OpenSSH ECDSA", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY".into()),
        ("OpenSSH security key", "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t".into()),
        ("fingerprint of OpenSSH", "SHA256:uNiVztksCsDhcc0u9e8BrWJDPXE0Zqyc4VvZ2o3hY1k".into()),
        ("fingerprint of a certificate", "AB:CD:".repeat(16).trim_end_matches(':').into()),
        ("JWK with blanks", format!("\n  {jwk}\n").into()),
        ("JSON list", format!("[{jwk}]").into()),
        ("JWK in base64", URL_SAFE_NO_PAD.encode(&jwk[..80]).into()),
        ("JWK with a byte order mark", format!("\u{feff}{jwk}").into()),
        ("token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg".into()),
        ("modulus of RSA", STANDARD.encode([0xb7; 256]).into()),
        ("point of P-256", STANDARD.encode([&[4][..], &raw, &raw].concat()).into()),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x4c\x4a\x06\x00\xc2\x41\x24\x35\x03\x00\x00\x00abcdefgh".to_vec()),
        ("gzip in base64", "H4sIAAAAAAAAA0tMSgYAwkEkNQMAAABhYmNkZWZnaGlqa2w=".into()),
        ("HTML", "<!DOCTYPE html><html><body>404 Not Found: no such secret</body></html>".into()),
        ("XML", "<RSAKeyValue><Modulus>u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0</Modulus></RSAKeyValue>".into()),
        ("path", "/etc/quintet/keys/production/jwt".into()),
        ("path with an extension", "/run/Secrets/Quintet/Production.pem".into()),
        ("relative path", "./config/production/quintet/secret".into()),
        ("path without a slash before it", "config/production/quintet/public.pem".into()),
        ("URL", "https://id.example.org/.well-known/jwks.json".into()),
        ("file URL", "file:///etc/quintet/keys/production/jwt".into()),
        ("did", "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".into()),
        ("PASETO key", "k4.public.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8".into()),
        ("age recipient", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".into()),
        ("minisign", STANDARD.encode([&b"Ed"[..], &[7; 8], &raw].concat()).into()),
        ("one byte", vec![b'a'; 32]),
        ("one byte with an end", [vec![b'a'; 40], b"b".to_vec()].concat()),
        ("NUL", vec![0; 64]),
        ("short pattern", b"abcd".repeat(12)),
        ("password four times", b"password".repeat(4)),
        ("digits", b"0123456789".repeat(4)),
        ("few characters", b"1101001010001011110100101000101101001".to_vec()),
        ("bytes that are not text", (0..64).map(|i| (i * 37 + 129) as u8).collect()),
        ("letters beyond ASCII", "Ünïcödé-secret-of-more-than-32-bytes".into()),
        ("a tab", "kR4vXyT0b9Zq2LmN\t7sWcE1hJ8uPfG6dA".into()),
        ("two lines", "kR4vXyT0b9Zq2LmN7sWcE1hJ\n8uPfG6dAkR4vXyT0b9Zq2LmN".into()),
        ("two line breaks", "kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA\n\n".into()),
        ("a line break before it", "\nkR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA".into()),
        ("a blank at the end", "kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA ".into()),
        ("a blank before the line break", "kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA \n".into()),
        ("a byte order mark", "\u{feff}kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA".into()),
        ("published example", "a-string-secret-at-least-256-bits-long".into()),
        ("empty", Vec::new()),
        ("a line break", b"\n".to_vec()),
        ("short", b"kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6d".to_vec()),
        ("short with a line break", b"kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6d\n".to_vec()),
        ("long", b"kR4vXyT0b9Zq2LmN7".repeat(16)),
    ]
}

#[test]
fn auth_5_nothing_public_or_structured_is_a_secret() {
    let accepted: Vec<_> = spellings()
        .into_iter()
        .filter(|(_, file)| HmacSecret::from_file(file).is_ok())
        .map(|(name, _)| name)
        .collect();
    assert!(accepted.is_empty(), "taken for secrets: {accepted:?}");
}

#[test]
fn auth_5_the_error_names_the_format() {
    let error = |name: &str| {
        let (_, file) = spellings().into_iter().find(|(known, _)| *known == name).unwrap();
        HmacSecret::from_file(&file).unwrap_err().to_string()
    };
    for (name, words) in [
        ("DER", "DER"),
        ("DER in base64url", "DER"),
        ("OpenSSH RSA", "OpenSSH"),
        ("JWK", "JSON"),
        ("PEM in UTF-16", "UTF-16"),
        ("PEM", "PEM"),
        ("PEM without its first line", "PEM"),
        ("PEM in base64", "PEM"),
        ("SSH2", "PEM"),
        ("raw Ed25519", "not text"),
        ("HTML", "HTML"),
        ("path", "path"),
        ("one byte", "repeats"),
        ("a byte order mark", "byte order mark"),
        ("a blank at the end", "blank"),
        ("two lines", "one line"),
        ("short", "31 bytes"),
    ] {
        assert!(error(name).contains(words), "{name}: {}", error(name));
    }
}

#[test]
fn random_text_is_a_secret_and_one_line_break_at_its_end_is_left_out() {
    // As `openssl rand -base64 32` and `-base64 48`, `-hex 16` to `-hex 64`, `uuidgen` twice, a phrase.
    for secret in [
        "q8hZ0yq5V1pWw0l7m2tYb3c9R4nXsKfUeJdGaHoPiQE=",
        "5p2Yv8mKq1Zt0rXwB7nLc4sHjD9gFaE3uQyViOoPkTlWbMxNzRhUfGdSeCA6I1/+",
        "9f86d081884c7d659a2feaa0c55ad015",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6",
        "0b9e4c4e-6a0b-4f6f-9d59-6f0c8c8f2a11e7d5a3f0-52c1-4a3e-8b77-1c9d0e2f4a6b",
        "correct horse battery staple, and more of it",
        "0123456789abcdef0123456789abcdef-secret",
        "/8hZ0yq5V1pWw0l7m2tYb3c9R4nXsKfUeJdGaHoPiQE=",
        r#"p@ss$w0rd'"with(every)[kind]{of}*sign*&%"#,
    ] {
        for end in ["", "\n", "\r\n"] {
            let file = format!("{secret}{end}");
            let read =
                HmacSecret::from_file(file.as_bytes()).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            assert_eq!(read.bytes(), secret.as_bytes());
        }
    }
}

#[test]
fn random_bytes_in_base64_and_hexadecimal_are_hardly_ever_refused() {
    use rand::{Rng, SeedableRng};
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    for bytes in [24usize, 32, 48, 64] {
        let refused = (0..2_000).filter(|_| {
            let mut secret = vec![0; bytes];
            random.fill_bytes(&mut secret);
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            HmacSecret::from_file(STANDARD.encode(&secret).as_bytes()).is_err()
                || HmacSecret::from_file(hex.as_bytes()).is_err()
        });
        assert!(refused.count() <= 2, "{bytes} bytes");
    }
}

#[test]
fn auth_6_a_secret_is_not_printed() {
    let secret = HmacSecret::from_file(b"kR4vXyT0b9Zq2LmN7sWcE1hJ8uPfG6dA").unwrap();
    assert_eq!(format!("{secret:?}"), "HmacSecret(32 bytes)");
}

//! HMAC secrets, and detection of key material that must not be used as one.
//!
//! Guarantee: a file with public or structured contents yields no secret (AUTH-5): keys, key sets,
//! certificates or tokens in any encoding, paths, web pages and repeated patterns are refused. An HS256 token
//! signed with the bytes of such a file is never accepted.
//!
//! A secret is one line of printable ASCII. This form is required because binary public keys, such as the 32
//! bytes of an Ed25519 key, are indistinguishable from random bytes. A bare public key written as base64 or
//! hexadecimal text without any structure still looks like a random secret.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// A secret that signs and verifies tokens. Its `Debug` output shows only the length.
#[derive(Clone, PartialEq, Eq)]
pub struct HmacSecret(Vec<u8>);

impl std::fmt::Debug for HmacSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HmacSecret({} bytes)", self.0.len())
    }
}

/// The reason for which the contents of a file are not an HMAC secret. Operator fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The secret has this length in bytes, less than [`SECRET_BYTES_MIN`].
    #[error("the secret is {0} bytes long; at least {SECRET_BYTES_MIN} are needed")]
    Short(usize),
    /// The secret has this length in bytes, more than [`SECRET_BYTES_MAX`].
    #[error(
        "the secret is {0} bytes long; at most {SECRET_BYTES_MAX} are taken, and more than 64 add no strength"
    )]
    Long(usize),
    /// The contents have the format of this other kind of data, such as a public key (AUTH-5).
    #[error(
        "this looks like {0}, not like a secret; a public key belongs in --jwt-public-key, as PEM, and a key set in --jwks-url"
    )]
    Structured(&'static str),
    /// The contents include this kind of byte, which is not printable ASCII.
    #[error(
        "a secret is one line of printable ASCII, and this is not text: it contains {0}. `openssl rand -base64 48` makes one"
    )]
    NotText(&'static str),
    /// The contents have more than one line.
    #[error("a secret is one line, and this has several. `openssl rand -base64 48` makes one")]
    SeveralLines,
    /// The line begins or ends with white space.
    #[error("the secret begins or ends with a blank; only one line break at its end is ignored")]
    Blank,
    /// The line repeats a short pattern or has too little entropy.
    #[error(
        "the secret repeats a short pattern or few characters; `openssl rand -base64 48` makes a good one"
    )]
    Predictable,
    /// The line begins like an example secret of public documentation.
    #[error("the secret is a published example")]
    Published,
}

/// Minimum length of a secret in bytes: the output length of SHA-256 (RFC 7518, 3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// Maximum length of a secret in bytes; a 2,048-bit RSA modulus is longer in any text encoding.
pub const SECRET_BYTES_MAX: usize = 256;

impl HmacSecret {
    /// Parses the contents of a secret file: one line of printable ASCII, without the line break (`\n` or
    /// `\r\n`) at its end.
    ///
    /// # Errors
    /// When the contents have another form, or look like something other than a secret.
    pub fn from_file(contents: &[u8]) -> Result<Self, SecretError> {
        if let Some(what) = structure(contents) {
            return Err(SecretError::Structured(what));
        }
        let line = contents.strip_suffix(b"\n").unwrap_or(contents);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(why) = not_text(line) {
            return Err(SecretError::NotText(why));
        }
        if line.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(SecretError::SeveralLines);
        }
        if line.trim_ascii().len() != line.len() {
            return Err(SecretError::Blank);
        }
        match line.len() {
            short @ ..SECRET_BYTES_MIN => return Err(SecretError::Short(short)),
            SECRET_BYTES_MIN..=SECRET_BYTES_MAX => {}
            long => return Err(SecretError::Long(long)),
        }
        if let Some(what) = structured_line(line) {
            return Err(SecretError::Structured(what));
        }
        if PUBLISHED.iter().any(|published| line.starts_with(published)) {
            return Err(SecretError::Published);
        }
        if is_predictable(line) {
            return Err(SecretError::Predictable);
        }
        Ok(Self(line.to_vec()))
    }

    /// Creates a secret from fresh random bytes, for a key that is never stored.
    pub(in crate::gateway) fn random(bytes: [u8; 64]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the secret, for signing and verifying only.
    pub(in crate::gateway) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Returns the name of a format that is recognisable at the start or anywhere in the contents.
fn structure(contents: &[u8]) -> Option<&'static str> {
    let text = contents.strip_prefix(UTF8_BOM).unwrap_or(contents);
    let trimmed = text.trim_ascii();
    let starts = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| trimmed.starts_with(prefix));
    // The formats below with one-byte prefixes also require text after it: in decoded random bytes, a single
    // matching byte proves nothing.
    let is_text_at_first = trimmed.iter().take(16).all(|byte| is_text(*byte) || *byte == b'\t');
    if contents.starts_with(b"\xff\xfe")
        || contents.starts_with(b"\xfe\xff")
        || contents.contains(&0) && utf16(contents)
    {
        return Some("text in UTF-16");
    }
    if contains(text, b"begin") || contains(text, b"----") {
        return Some("a key or certificate in PEM");
    }
    if is_der(contents) {
        return Some("a key or certificate in DER");
    }
    if starts(&[b"ssh-", b"ecdsa-", b"sk-ssh", b"sk-ecdsa"])
        || [&b"ssh-rsa"[..], b"ssh-dss", b"ssh-ed25519", b"ecdsa-sha2-"]
            .iter()
            .any(|name| contains(text, name))
    {
        return Some("an OpenSSH key");
    }
    if is_text_at_first && starts(&[b"{", b"["]) {
        return Some("JSON, such as a JWK or a key set");
    }
    if is_text_at_first && starts(&[b"<"]) {
        return Some("HTML or XML");
    }
    if contents.starts_with(b"\x1f\x8b") || contents.starts_with(b"PK\x03\x04") {
        return Some("compressed data");
    }
    None
}

/// Returns the name of the format of one line of text, or of the data it encodes in base64 or hexadecimal.
fn structured_line(line: &[u8]) -> Option<&'static str> {
    let has = |needle: &[u8]| contains(line, needle);
    let starts = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| line.starts_with(prefix));
    if has(b"://") || is_path(line) {
        return Some("a path or an address");
    }
    if starts(&[b"did:", b"age1", b"SHA256:", b"MD5:", b"Modulus="]) || has(b".public.") {
        return Some("a public key or a fingerprint");
    }
    if line.contains(&b':') && line.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b':') {
        return Some("a fingerprint or a dump in hexadecimal");
    }
    if starts(&[b"eyJ", b"ey0"]) {
        return Some("JSON or a token in base64");
    }
    encoded(line, ENCODINGS_MAX)
}

/// Returns the name of the format that `line` encodes, through at most `depth` nested encodings.
fn encoded(line: &[u8], depth: usize) -> Option<&'static str> {
    let depth = depth.checked_sub(1)?;
    let decodings = [hexadecimal(line), base64(line)];
    decodings.into_iter().flatten().find_map(|decoded| {
        structure(&decoded).or_else(|| key_bytes(&decoded)).or_else(|| encoded(decoded.trim_ascii(), depth))
    })
}

/// Returns the name of the binary key format of decoded bytes.
fn key_bytes(bytes: &[u8]) -> Option<&'static str> {
    match (bytes.len(), bytes) {
        // RFC 4253, 6.6: the key type, preceded by its length.
        (24.., [0, 0, 0, length @ 4..=40, name @ ..])
            if name.iter().take(usize::from(*length)).all(u8::is_ascii_graphic) =>
        {
            Some("an SSH key in base64")
        }
        // SEC 1, 2.3.3: compressed and uncompressed points.
        (65 | 97 | 133, [4, ..]) | (33 | 49 | 67, [2 | 3, ..]) => Some("a public key on an elliptic curve"),
        (42, [b'E', b'd', ..]) => Some("a public key of minisign"),
        _ => None,
    }
}

/// Returns whether bytes begin like a key or certificate in DER: a sequence whose first element is a
/// sequence, an integer, an object identifier or a version tag.
fn is_der(bytes: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = bytes else { return false };
    let inner = match length {
        2..=0x7f => rest.first(),
        0x81 => rest.get(1),
        0x82 => rest.get(2),
        0x83 => rest.get(3),
        _ => None,
    };
    // `0` is also the tag of a sequence; text that begins with this digit continues with printable bytes.
    matches!(inner, Some(0x02 | 0x06 | 0x30 | 0xa0)) && bytes.iter().any(|byte| !is_text(*byte))
}

/// Returns whether all bytes at even or all at odd positions are NUL, as in ASCII text encoded as UTF-16.
fn utf16(bytes: &[u8]) -> bool {
    let nul = |offset: usize| bytes.iter().skip(offset).step_by(2).take(16).all(|byte| *byte == 0);
    nul(0) || nul(1)
}

fn not_text(line: &[u8]) -> Option<&'static str> {
    if line.starts_with(UTF8_BOM) {
        return Some("a byte order mark");
    }
    let odd = line.iter().find(|byte| !is_text(**byte))?;
    Some(match odd {
        0 => "a NUL byte",
        b'\t' => "a tab",
        0x80.. => "bytes beyond ASCII",
        _ => "a control character",
    })
}

/// Returns whether a byte is printable ASCII, a blank or a line break.
fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\r')
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

/// Returns whether the line is a file path. Base64 may begin with a slash too, so a slash alone is not
/// sufficient.
fn is_path(line: &[u8]) -> bool {
    let relative = [&b"./"[..], b"../", b"~/", b".\\", b"\\\\"].iter().any(|prefix| line.starts_with(prefix));
    let drive = matches!(line, [b'A'..=b'Z' | b'a'..=b'z', b':', b'\\' | b'/', ..]);
    let extension = [
        &b".pem"[..],
        b".key",
        b".pub",
        b".der",
        b".crt",
        b".cer",
        b".json",
        b".jwk",
        b".jwks",
        b".txt",
        b".secret",
    ];
    let named = extension.iter().any(|extension| {
        line.len() > extension.len() && line[line.len() - extension.len()..].eq_ignore_ascii_case(extension)
    });
    let not_base64 =
        line.iter().any(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')));
    let one_case = !line.iter().any(u8::is_ascii_uppercase);
    let absolute = line.starts_with(b"/") && (not_base64 || one_case);
    relative || drive || named || absolute
}

/// Returns whether a line repeats a short pattern or has too little variety for random text.
fn is_predictable(line: &[u8]) -> bool {
    let repeats = |period: usize| line.iter().zip(&line[period..]).all(|(a, b)| a == b);
    if (1..PERIOD_BYTES_MIN).any(repeats) {
        return true;
    }
    let mut counts = [0usize; 256];
    line.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let total = line.len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / total);
    shares.map(|share| -share * share.log2()).sum::<f64>() < BITS_PER_BYTE_MIN
}

fn hexadecimal(line: &[u8]) -> Option<Vec<u8>> {
    let digits = line.strip_prefix(b"0x").unwrap_or(line);
    let value = |digit: &u8| char::from(*digit).to_digit(16).map(|value| value as u8);
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(value(&pair[0])? << 4 | value(&pair[1])?)).collect()
}

/// Decodes base64 of either alphabet, with or without padding. Left-over bits of truncated text are ignored.
fn base64(line: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = line
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => *byte,
        })
        .collect();
    // A single character beyond a whole number of groups encodes no byte.
    let whole = if text.len() % 4 == 1 { &text[..text.len() - 1] } else { &text[..] };
    LENIENT.decode(whole).ok().filter(|decoded| !decoded.is_empty())
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";
/// Maximum depth of nested encodings, such as base64 of base64.
const ENCODINGS_MAX: usize = 3;
/// Minimum length of a pattern that may repeat, in bytes.
const PERIOD_BYTES_MIN: usize = 16;
/// Minimum entropy per character, in bits; random hexadecimal text has about 3.7.
const BITS_PER_BYTE_MIN: f64 = 3.0;
/// Prefixes of example secrets in widely used documentation.
const PUBLISHED: [&[u8]; 4] = [
    b"a-string-secret-at-least-",
    b"a-valid-string-secret-that-is-",
    b"your-256-bit-secret",
    b"your-512-bit-secret",
];

#[cfg(test)]
mod tests;

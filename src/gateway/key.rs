//! Keys that verify tokens. The kind of a key is configured, never guessed, and fixes its algorithms.
//!
//! Guarantees: an HMAC secret is an [`HmacSecret`], which public key material cannot become. A public key
//! file holds exactly one public key in PEM. A key verifies only the algorithms of its own kind (AUTH-5).
//!
//! - [`secret`]: HMAC secrets; [`mod@file`]: bounded reads of key files

pub mod file;
pub mod secret;

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, ThumbprintHash},
};
use sha2::{Digest, Sha256};

use self::secret::{HmacSecret, SecretError};

/// A key that verifies tokens, with the algorithms it may be used with.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
    description: KeyDescription,
}

/// A key as shown to operators: the kind and fingerprint of a public key, or the length of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyDescription {
    /// An HMAC secret, of which only the length is shown.
    Secret {
        /// The length in bytes.
        bytes: usize,
    },
    /// A public key.
    Public {
        /// The kind or curve: `RSA`, `P-256`, `P-384` or `Ed25519`.
        kind: &'static str,
        /// The SHA-256 of the DER in hexadecimal; for a key of a key set, its thumbprint (RFC 7638) in
        /// base64url.
        sha256: String,
    },
}

impl fmt::Display for KeyDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { bytes } => write!(f, "HMAC secret, {bytes} bytes"),
            Self::Public { kind, sha256 } => write!(f, "{kind} public key, SHA-256 {sha256}"),
        }
    }
}

/// The reason for which a key cannot be used. Operator fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The HMAC secret is unusable.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The file contains a private key.
    #[error("this is a private key; the service needs, and should have, only the public one")]
    Private,
    /// The file contains a certificate instead of its public key.
    #[error("this is a certificate; give its public key, as `openssl x509 -pubkey -noout` prints it")]
    Certificate,
    /// The file contains this number of PEM blocks, more than one.
    #[error("this contains {0} PEM blocks; exactly one public key is accepted")]
    SeveralBlocks(usize),
    /// The file contains no public key in PEM (RFC 7468).
    #[error(
        "this is not a public key in PEM (`-----BEGIN PUBLIC KEY-----`); an HMAC secret belongs in --jwt-secret"
    )]
    NotPem,
    /// The RSA modulus is shorter than [`RSA_BYTES_MIN`].
    #[error("the RSA key is shorter than {} bits", RSA_BYTES_MIN * 8)]
    ShortRsa,
    /// The kind, curve, use or algorithm of the key is not supported, for this reason.
    #[error("the key is not for RS*, PS*, ES256, ES384 or EdDSA (Ed25519): {0}")]
    Unsupported(String),
}

/// Minimum length of an RSA modulus, in bytes.
pub const RSA_BYTES_MIN: usize = 256;

impl VerifyingKey {
    /// Creates a key from an HMAC secret, for HS256, HS384 and HS512.
    pub fn from_secret(secret: &HmacSecret) -> Self {
        let description = KeyDescription::Secret { bytes: secret.bytes().len() };
        Self { key: DecodingKey::from_secret(secret.bytes()), algorithms: HMAC.to_vec(), description }
    }

    /// Parses the contents of a public key file: one public key in PEM (RFC 7468). Text around it is ignored.
    ///
    /// # Errors
    /// When there is no public key, more than one PEM block, a private key or a certificate.
    pub fn from_public_pem(contents: &[u8]) -> Result<Self, KeyError> {
        let text = std::str::from_utf8(contents).map_err(|_| KeyError::NotPem)?;
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if text.contains("CERTIFICATE-----") {
            return Err(KeyError::Certificate);
        }
        let block = match text.matches("BEGIN").count() {
            1 => public_block(text).ok_or(KeyError::NotPem)?,
            0 => return Err(KeyError::NotPem),
            blocks => return Err(KeyError::SeveralBlocks(blocks)),
        };
        let sha256 = fingerprint(block)?;
        let public = |key, kind, algorithms: &[Algorithm]| {
            let description = KeyDescription::Public { kind, sha256: sha256.clone() };
            Self::usable(key, algorithms, description)
        };
        let pem = block.as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            // PKCS#1 encodes the modulus and a few more bytes.
            let long = key.try_get_as_bytes().is_ok_and(|der| der.len() >= RSA_BYTES_MIN);
            return if long { public(key, "RSA", &RSA) } else { Err(KeyError::ShortRsa) };
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            return match key.try_get_as_bytes().map(<[u8]>::len) {
                Ok(P256_POINT_BYTES) => public(key, "P-256", &[Algorithm::ES256]),
                Ok(P384_POINT_BYTES) => public(key, "P-384", &[Algorithm::ES384]),
                _ => Err(KeyError::Unsupported("the curve is neither P-256 nor P-384".into())),
            };
        }
        match DecodingKey::from_ed_pem(pem) {
            Ok(key) if key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == ED25519_BYTES) => {
                public(key, "Ed25519", &[Algorithm::EdDSA])
            }
            _ => Err(KeyError::Unsupported("no key that this service can use".into())),
        }
    }

    /// Creates a key from a public key of a key set, with the algorithm named there or those of its kind.
    ///
    /// # Errors
    /// When the key is symmetric (every reader of the set could sign with it), not meant for verifying
    /// signatures, or of an unsupported kind.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        if matches!(&jwk.common.public_key_use, Some(used) if *used != PublicKeyUse::Signature) {
            return Err(KeyError::Unsupported("not for signatures".into()));
        }
        // RFC 7517, 4.3: `key_ops`, where present, lists all permitted operations.
        if matches!(&jwk.common.key_operations, Some(listed) if !listed.contains(&KeyOperations::Verify)) {
            return Err(KeyError::Unsupported("`key_ops` does not list `verify`".into()));
        }
        let of_kind: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &RSA,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
                &[Algorithm::ES384]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return Err(KeyError::Unsupported("kind or curve".into())),
        };
        let key = DecodingKey::from_jwk(jwk).map_err(|e| KeyError::Unsupported(e.to_string()))?;
        match (&jwk.algorithm, key.kind()) {
            (_, jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. }) if n.len() < RSA_BYTES_MIN => {
                return Err(KeyError::ShortRsa);
            }
            // The library silently uses the first 32 bytes of a longer key.
            (AlgorithmParameters::OctetKeyPair(_), jsonwebtoken::DecodingKeyKind::SecretOrDer(bytes))
                if bytes.len() != ED25519_BYTES =>
            {
                return Err(KeyError::Unsupported("not an Ed25519 key".into()));
            }
            _ => {}
        }
        let kind = match of_kind[0] {
            Algorithm::ES256 => "P-256",
            Algorithm::ES384 => "P-384",
            Algorithm::EdDSA => "Ed25519",
            _ => "RSA",
        };
        let sha256 =
            jwk.thumbprint(ThumbprintHash::SHA256).map_err(|e| KeyError::Unsupported(e.to_string()))?;
        let description = KeyDescription::Public { kind, sha256 };
        match jwk.common.key_algorithm {
            None => Self::usable(key, of_kind, description),
            Some(named) => match Algorithm::try_from(named) {
                Ok(algorithm) if of_kind.contains(&algorithm) => Self::usable(key, &[algorithm], description),
                _ => Err(KeyError::Unsupported(format!("algorithm {named}"))),
            },
        }
    }

    /// Creates the key and verifies once with it, so that an unusable key is reported at startup.
    fn usable(
        key: DecodingKey,
        algorithms: &[Algorithm],
        description: KeyDescription,
    ) -> Result<Self, KeyError> {
        for algorithm in algorithms {
            jsonwebtoken::crypto::verify("", b"", &key, *algorithm)
                .map_err(|e| KeyError::Unsupported(e.to_string()))?;
        }
        Ok(Self { key, algorithms: algorithms.to_vec(), description })
    }

    /// Returns the description for operators.
    pub fn description(&self) -> &KeyDescription {
        &self.description
    }

    /// Returns whether verifying a signature is too expensive for the worker threads: true for public keys.
    pub fn is_costly(&self) -> bool {
        matches!(self.description, KeyDescription::Public { .. })
    }
}

/// Returns the PEM block of a public key, including its boundaries.
fn public_block(text: &str) -> Option<&str> {
    ["PUBLIC KEY", "RSA PUBLIC KEY"].iter().find_map(|label| {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        let from = text.find(&begin)?;
        let to = text[from..].find(&end)?;
        Some(&text[from..from + to + end.len()])
    })
}

/// Returns the SHA-256 of a block's DER in hexadecimal, as `openssl pkey -pubin -outform DER | sha256sum`
/// prints it.
fn fingerprint(block: &str) -> Result<String, KeyError> {
    let body: String = block.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = STANDARD.decode(body).map_err(|_| KeyError::NotPem)?;
    Ok(Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect())
}

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
pub(super) const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
/// Lengths of uncompressed points in bytes (SEC 1, 2.3.3).
const P256_POINT_BYTES: usize = 65;
const P384_POINT_BYTES: usize = 97;
const ED25519_BYTES: usize = 32;

#[cfg(test)]
mod tests;

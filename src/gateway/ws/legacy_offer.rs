//! The subprotocols that the predecessor's clients offer: `jwt-auth`, and a token as `jwt.<token>`.
//!
//! Guarantee: a token is never confirmed, since the confirmation is a response header that proxies may log (AUTH-6).

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// What the subprotocols of a legacy client ask for.
#[derive(Debug, PartialEq, Eq)]
pub struct LegacyOffer {
    /// The token, if one is offered.
    pub token: Option<String>,
    /// The subprotocol to confirm.
    pub confirmed: Option<&'static str>,
}

/// The reason for which an offer is refused. Contains no part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Two tokens, of which neither is guessed to be meant.
    #[error("more than one token is offered as a subprotocol")]
    TwoTokens,
    /// The text after the prefix is neither a JWT nor one in base64url.
    #[error("the token in a subprotocol is not encoded in base64url")]
    Encoding,
    /// No subprotocol is known.
    #[error("none of the offered subprotocols is supported")]
    Unknown,
}

impl LegacyOffer {
    /// Reads the offered subprotocols; an empty list asks for nothing.
    ///
    /// # Errors
    /// When all of them are unknown, or a token is ambiguous or not decodable.
    pub fn read<'a>(offered: impl Iterator<Item = &'a str>) -> Result<Self, OfferError> {
        let mut read = Self { token: None, confirmed: None };
        let mut unknown = false;
        for subprotocol in offered {
            if subprotocol == CONFIRMED {
                read.confirmed = Some(CONFIRMED);
            } else if let Some(token) = PREFIXES.iter().find_map(|prefix| subprotocol.strip_prefix(prefix)) {
                if read.token.replace(decode(token)?).is_some() {
                    return Err(OfferError::TwoTokens);
                }
            } else {
                unknown = true;
            }
        }
        if unknown && read == (Self { token: None, confirmed: None }) {
            return Err(OfferError::Unknown);
        }
        Ok(read)
    }
}

/// Decodes a token: a JWT as it is, which has dots, or in base64url, with or without `Bearer`.
fn decode(text: &str) -> Result<String, OfferError> {
    if text.contains('.') {
        return Ok(text.to_owned());
    }
    let bytes = BASE64.decode(text).map_err(|_| OfferError::Encoding)?;
    let token = String::from_utf8(bytes).map_err(|_| OfferError::Encoding)?;
    Ok(token.strip_prefix("Bearer ").unwrap_or(&token).to_owned())
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The prefixes of a token. Not among them: the predecessor's prefix for a bypass of its checks.
const PREFIXES: [&str; 3] = ["jwt.", "jwt-auth.", "bearer."];

const CONFIRMED: &str = "jwt-auth";

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn read(offered: &[&str]) -> Result<LegacyOffer, OfferError> {
        LegacyOffer::read(offered.iter().copied())
    }

    #[test]
    fn a_token_is_read_in_each_of_its_forms_and_never_confirmed() {
        let encoded = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        for offered in [
            "jwt.a.b.c".to_owned(),
            "bearer.a.b.c".to_owned(),
            format!("jwt.{}", encoded("a.b.c")),
            format!("jwt.{}=", encoded("a.b.c")),
            format!("jwt-auth.{}", encoded("Bearer a.b.c")),
        ] {
            let expected = LegacyOffer { token: Some("a.b.c".into()), confirmed: Some("jwt-auth") };
            assert_eq!(read(&["jwt-auth", &offered]), Ok(expected), "{offered}");
            assert_eq!(read(&[&offered]).unwrap().confirmed, None);
        }
    }

    #[test]
    fn auth_5_ambiguous_and_unknown_offers_are_refused() {
        assert_eq!(read(&["jwt.a.b.c", "bearer.d.e.f"]), Err(OfferError::TwoTokens));
        assert_eq!(read(&["jwt.a.b.c", "jwt.a.b.c"]), Err(OfferError::TwoTokens));
        assert_eq!(read(&["jwt.%%%"]), Err(OfferError::Encoding));
        assert_eq!(read(&["graphql-ws"]), Err(OfferError::Unknown));
        assert_eq!(read(&["staging-auth.a.b.c"]), Err(OfferError::Unknown));
        assert_eq!(read(&["jwt."]).unwrap().token.as_deref(), Some(""), "refused as a missing credential");
        assert_eq!(read(&[]), Ok(LegacyOffer { token: None, confirmed: None }));
        assert_eq!(read(&["jwt-auth"]), Ok(LegacyOffer { token: None, confirmed: Some("jwt-auth") }));
    }
}

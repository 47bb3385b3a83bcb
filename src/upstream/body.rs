//! Bodies of bounded length.

use bytes::Bytes;
use futures_util::StreamExt;

use crate::client::describe;

/// The reason for which a body was not read. Upstream fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection broke.
    #[error("the response ended early: {0}")]
    Broken(String),
    /// The body is longer than this many bytes.
    #[error("the response is longer than {0} bytes")]
    TooLarge(usize),
}

/// Reads a whole body of at most `bytes_max` bytes. The caller bounds the time.
///
/// # Errors
///
/// Returns [`BodyError`] if the connection breaks, or the body is longer.
pub async fn read(response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let (body, is_whole) = start(response, bytes_max).await?;
    if is_whole { Ok(body) } else { Err(BodyError::TooLarge(bytes_max)) }
}

/// Reads the first `bytes_max` bytes of a body, for the message of an error.
///
/// # Errors
///
/// Returns [`BodyError::Broken`] if the connection breaks first.
pub async fn read_start(response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    Ok(start(response, bytes_max).await?.0)
}

async fn start(response: reqwest::Response, bytes_max: usize) -> Result<(Vec<u8>, bool), BodyError> {
    let mut chunks = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|error| BodyError::Broken(describe(error)))?;
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

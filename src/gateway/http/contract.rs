//! The protocol in machine-readable form: `/openapi.json`, `/asyncapi.json`, `/schema/{frame}.json`. Served
//! without authentication, like the documentation.

use std::sync::LazyLock;

use axum::{
    Json,
    extract::Path,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::header;
use serde_json::Value;

use super::{extract::HttpResult, failure::HttpError};
use crate::wire::{asyncapi, openapi, schema};

/// Returns 200 with the JSON Schema of one frame or entry, or 404.
///
/// # Errors
/// 404 when no frame or entry has this name.
pub async fn frame(file: Result<Path<String>, axum::extract::rejection::PathRejection>) -> HttpResult {
    let Ok(Path(file)) = file else { return Err(HttpError::not_found()) };
    let schema = file.strip_suffix(".json").and_then(schema::frame);
    Ok(Json(schema.ok_or_else(HttpError::not_found)?).into_response())
}

/// Returns 200 with the OpenAPI document.
pub async fn openapi() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| written(openapi::document()));
    document(&DOCUMENT)
}

/// Returns 200 with the AsyncAPI document.
pub async fn asyncapi() -> Response {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| written(asyncapi::document()));
    document(&DOCUMENT)
}

fn written(document: Value) -> Bytes {
    document.to_string().into()
}

fn document(bytes: &Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes.clone()).into_response()
}

//! The contract, machine-readable: `/schema/{frame}.json`. Public, like the documentation.

use axum::{Json, extract::Path, response::IntoResponse};

use super::{extract::Answer, failure::Failure};
use crate::wire::schema;

/// 200 with the JSON Schema of one frame or entry.
pub async fn frame(file: Result<Path<String>, axum::extract::rejection::PathRejection>) -> Answer {
    let Ok(Path(file)) = file else { return Err(Failure::not_found()) };
    let schema = file.strip_suffix(".json").and_then(schema::frame);
    Ok(Json(schema.ok_or_else(Failure::not_found)?).into_response())
}

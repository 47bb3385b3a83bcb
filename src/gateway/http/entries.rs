//! `GET /v1/entries`: pages of the user's log.

use axum::extract::State;

use super::{
    extract::{Caller, HttpResult, QueryParams},
    pages::AdmittedPage,
};
use crate::{gateway::Gateway, wire::http::EntriesQuery};

/// Returns 200 with the entries after `after`, or the last ones before `before`, in ascending order, and the cursor of
/// the next page.
///
/// # Errors
/// When `limit` is out of range, the query has both positions, the user has reached `user_pages_max`, or the journal cannot be read.
pub async fn page(
    State(gateway): State<Gateway>,
    caller: Caller,
    QueryParams(query): QueryParams<EntriesQuery>,
) -> HttpResult {
    AdmittedPage::new(&gateway, &caller)?.answer(None, query).await
}

//! `GET /v1/entries`: the user's log, page by page.

use axum::extract::State;

use super::{
    extract::{Answer, Asked, Caller},
    pages::Pages,
};
use crate::{gateway::Gateway, wire::http::EntriesQuery};

/// 200 with entries after `after`, in order, and where to go on.
pub async fn page(
    State(gateway): State<Gateway>,
    caller: Caller,
    Asked(query): Asked<EntriesQuery>,
) -> Answer {
    Pages::new(&gateway, &caller)?.answer(None, query).await
}

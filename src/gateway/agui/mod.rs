//! Routes for front ends that speak [AG-UI](https://docs.ag-ui.com), of the generations 0.0.59 and 1.0, among them
//! CopilotKit: as separate routes, and as CopilotKit's single endpoint.
//!
//! Guarantees:
//!
//! - Everything goes through the user's machines and the log, as on a WebSocket: the user's message is sent under its
//!   id (DEL-6), interrupts are calls of the client (RUN-11), and a front end that disconnects cancels nothing.
//! - A thread of another user looks like a new one (ISO-3).
//! - A stream ends in order only after its terminal event. If that cannot be sent, the connection is aborted: AG-UI's
//!   clients take an orderly end for success (DEL-7).
//!
//! - [`request`]: what a request does before its stream; [`prefix`]: what of a run is in the log already
//! - [`stream`]: the body of the response; [`names`]: the `runId` of a request while it lasts; [`mod@stop`]: cancelling

pub mod names;
pub mod prefix;
pub mod request;
pub mod stop;
pub mod stream;

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use quintet_agui_server::{
    InputError,
    envelope::{Envelope, StopScope},
    info::RuntimeInfo,
};

use self::{names::RequestNames, request::Requester};
use super::{
    Gateway,
    http::{
        extract::{Caller, HttpResult, JsonText, PathIds},
        failure::HttpError,
    },
    peers::SocketSlot,
};
use crate::{
    kernel::ids::{AgentName, ThreadId},
    wire::codes::ErrorCode,
};

/// Returns the routes of this folder.
pub fn routes() -> Router<Gateway> {
    Router::new()
        .route("/agui", post(single))
        .route("/agui/", post(single))
        .route("/agui/info", get(info))
        .route("/agui/agent/{agent_name}/run", post(run))
        .route("/agui/agent/{agent_name}/connect", post(connect))
        .route("/agui/agent/{agent_name}/stop/{thread_id}", post(stop))
        .layer(Extension(RequestNames::default()))
}

/// Returns 200 with the agents, as a CopilotKit runtime lists them.
///
/// # Errors
/// When the caller is not authenticated.
pub async fn info(State(gateway): State<Gateway>, _: Caller) -> HttpResult {
    Ok(agents(&gateway))
}

/// Answers what the request answers, sends its message, and streams the run.
///
/// # Errors
/// When the request is invalid, a limit is reached, the message is refused, or its outcome is unknown (DEL-7).
pub async fn run(
    State(gateway): State<Gateway>,
    agent_name: Result<Path<String>, PathRejection>,
    caller: Caller,
    Extension(slot): Extension<SocketSlot>,
    Extension(names): Extension<RequestNames>,
    request: Request,
) -> HttpResult {
    let agent_name = path_agent(agent_name)?;
    let requester = Requester::new(gateway, caller, slot, names)?;
    let body = requester.body(request).await?;
    requester.run(agent_name, &body.0).await
}

/// Streams the conversation and its open run, without starting one.
///
/// # Errors
/// When the request is invalid, a limit is reached, or the journal cannot be read.
pub async fn connect(
    State(gateway): State<Gateway>,
    caller: Caller,
    Extension(slot): Extension<SocketSlot>,
    Extension(names): Extension<RequestNames>,
    request: Request,
) -> HttpResult {
    let requester = Requester::new(gateway, caller, slot, names)?;
    let body = requester.body(request).await?;
    requester.connect(&body.0).await
}

/// Cancels the runs of a thread, or that of one request.
///
/// # Errors
/// When the body is invalid, or the outcome is unknown (DEL-7).
pub async fn stop(
    State(gateway): State<Gateway>,
    caller: Caller,
    PathIds(_, thread_id): PathIds<AgentName, ThreadId>,
    Extension(names): Extension<RequestNames>,
    body: JsonText,
) -> HttpResult {
    let scope = StopScope::decode(&body.0).map_err(refused)?;
    stop::stop(&gateway, &caller.user, &names, thread_id, scope).await
}

/// Handles a request to the single endpoint.
///
/// # Errors
/// As the route for its method.
pub async fn single(
    State(gateway): State<Gateway>,
    caller: Caller,
    Extension(slot): Extension<SocketSlot>,
    Extension(names): Extension<RequestNames>,
    request: Request,
) -> HttpResult {
    // Admitted before the body is read, as on the other routes.
    let requester = Requester::new(gateway.clone(), caller, slot, names.clone())?;
    let body = requester.body(request).await?;
    match Envelope::decode(&body.0).map_err(refused)? {
        Envelope::Info => Ok(agents(&gateway)),
        Envelope::Run(agent_name, body) => requester.run(agent_name, &body).await,
        Envelope::Connect(_, body) => requester.connect(&body).await,
        Envelope::Stop(_, thread_id, scope) => {
            stop::stop(&gateway, &requester.into_user(), &names, thread_id, scope).await
        }
    }
}

fn agents(gateway: &Gateway) -> Response {
    let agents = gateway.agents.iter();
    let agents = agents.map(|agent| (agent.agent_name.as_str(), &*agent.description, agent.default));
    Json(RuntimeInfo::new(env!("CARGO_PKG_VERSION"), agents)).into_response()
}

fn path_agent(name: Result<Path<String>, PathRejection>) -> Result<AgentName, HttpError> {
    let name = name.ok().and_then(|Path(name)| AgentName::parse(&name).ok());
    name.ok_or_else(HttpError::not_found)
}

/// Returns the response to a request that is invalid.
pub(super) fn refused(error: InputError) -> HttpError {
    let code = match error {
        InputError::Malformed => ErrorCode::MalformedFrame,
        InputError::TooMany(_) => ErrorCode::TooLarge,
        InputError::Field(_) | InputError::Attachment => ErrorCode::InvalidField,
    };
    HttpError::new(code, error.to_string())
}

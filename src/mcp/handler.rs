//! The requests and notices of a server.
//!
//! A server may ask the client of the call it works on ([`questions`]). Sampling and roots are refused: a server
//! gets no language model, and no folder.

use std::sync::Arc;

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
        ElicitationCapability, ErrorData, FormElicitationCapability, Implementation,
        ProgressNotificationParam,
    },
    service::{InboundStreamOrigin, NotificationContext, RequestContext},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    counts, elicitation,
    log::ServerLog,
    open_calls::OpenCalls,
    questions::{self, QuestionRefused},
};

/// The side of the service in one connection.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) calls: Arc<OpenCalls>,
    /// Notified when the list of tools is to be read again.
    pub(crate) changed: Arc<Notify>,
    pub(crate) lost: CancellationToken,
    pub(crate) log: ServerLog,
}

impl Handler {
    fn refused(&self, why: QuestionRefused) -> ErrorData {
        counts::question(&self.log.server, "refused");
        self.log.write(|server| tracing::warn!(server, %why, "a question of an MCP server was refused"));
        ErrorData::invalid_params(why.to_string(), None)
    }
}

impl ClientHandler for Handler {
    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let origin = context.extensions.get::<InboundStreamOrigin>();
        let (question, asks) = self.calls.question(origin, &request).map_err(|why| self.refused(why))?;
        let cancelled = || ElicitResult::new(ElicitationAction::Cancel);
        let result = tokio::select! {
            result = elicitation::ask(&asks, question) => result,
            () = context.ct.cancelled() => cancelled(),
            () = self.lost.cancelled() => cancelled(),
        };
        counts::question(&self.log.server, questions::outcome(&result));
        Ok(result)
    }

    #[expect(deprecated, reason = "the method is refused")]
    async fn list_roots(
        &self,
        _: RequestContext<RoleClient>,
    ) -> Result<rmcp::model::ListRootsResult, ErrorData> {
        Err(ErrorData::method_not_found::<rmcp::model::ListRootsRequestMethod>())
    }

    async fn on_progress(&self, notice: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.calls.progress(&notice);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation =
            Some(ElicitationCapability::new().with_form(FormElicitationCapability::new()));
        let mut info =
            ClientConfig::new(capabilities, Implementation::new("quintet", env!("CARGO_PKG_VERSION")));
        info.protocol_version = rmcp::model::ProtocolVersion::LATEST_WITH_INITIALIZE;
        info
    }
}

//! RUN-4: an open call comes from its run alone.

use quintet_agent::OpenCall;
use quintet_kernel::ids::CallId;

fn course(call_id: CallId) -> OpenCall {
    OpenCall { call_id, recorded: None }
}

fn main() {}

//! RUN-4: an open call cannot be copied.

use quintet_agent::OpenCall;

fn course(call: &OpenCall) -> OpenCall {
    call.clone()
}

fn main() {}

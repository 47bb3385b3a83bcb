//! RUN-9: a call is executed once.

use quintet_agent::OpenCall;
use quintet_kernel::json::Json;

async fn course(call: OpenCall) {
    let _first = call.execute(async { Ok(Json::null()) }).await;
    let _second = call.execute(async { Ok(Json::null()) }).await;
}

fn main() {}

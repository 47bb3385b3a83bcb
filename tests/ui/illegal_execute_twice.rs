//! RUN-9: a call is executed once.

use quintet::agent::OpenCall;
use quintet::kernel::json::Json;

async fn course(call: OpenCall) {
    let _first = call.execute(async { Ok(Json::null()) }).await;
    let _second = call.execute(async { Ok(Json::null()) }).await;
}

fn main() {}

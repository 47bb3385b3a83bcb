//! The monitor of this process finds no violation in the traffic of all other tests.

use serde_json::json;

use crate::harness::{TestService, soon, succeed, think, violations};

/// Runs beside all other tests of this binary, and reads the counts of all of them so far.
#[tokio::test]
async fn live_traffic_breaks_no_monitored_rule() {
    let mut service = TestService::start().await;
    let (mut first, _) = service.open("ada").await;
    let (mut second, _) = service.open("ada").await;
    for n in 0..20 {
        first.message(&format!("m{n}"), "hello").await;
        let run = service.launched().await;
        think(&run.handle, "hm").await;
        succeed(&run.handle).await;
        first.until("agent_completed").await;
        second.until("agent_completed").await;
    }
    let mut late = service.known("ada").await;
    late.hello(json!({"after": 7})).await;
    late.until("caught_up").await;
    let drain = service.running.drain();
    let closes = async {
        for client in [&mut first, &mut second, &mut late] {
            assert_eq!(client.closed().await, 1012);
            client.ws_end().await;
        }
    };
    soon("the drain", async { tokio::join!(drain, closes) }).await;
    assert_eq!(violations(), []);
}

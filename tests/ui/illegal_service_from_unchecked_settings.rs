//! AUTH-4, AUTH-5: a service started with settings that no check has passed.

use quintet::{Service, ops::config::Settings, service::Parts};

async fn start(settings: Settings, parts: Parts) {
    let _ = Service::new(settings, parts).start().await;
}

fn main() {
    let _ = start;
}

//! AUTH-4, AUTH-5: a service started with settings that no check has passed.

use quintet::{
    Service,
    ops::config::Settings,
    service::{CheckedSettings, Parts},
};

async fn start(settings: Settings, parts: Parts) {
    let _ = Service::new(settings, parts).start().await;
}

fn checked(settings: CheckedSettings) -> CheckedSettings {
    CheckedSettings { loaded: Settings::default().into(), ..settings }
}

fn main() {
    let _ = (start, checked);
}

//! Click through the states of a model in the browser.
//!
//! ```text
//! cargo run --release -p quintet-model --bin explore -- MODEL [ADDRESS]
//! ```
//!
//! MODEL is the name of an instance of `quintet_model::claims`, of those that every commit explores, or of a
//! model: then it is the first of its instances. The page is stateright's own explorer, and needs no network
//! but the loopback address it is served on.

use std::process::ExitCode;

use quintet_model::claims::{INSTANCES, Instance};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let address = arguments.next().unwrap_or_else(|| ADDRESS.to_owned());
    let Some(instance) = instance(&name) else {
        eprintln!("usage: explore MODEL [ADDRESS]; ADDRESS is {ADDRESS} unless given, MODEL one of");
        small().for_each(|instance| eprintln!("  {:20} {}", instance.name, instance.says));
        return ExitCode::from(2);
    };
    println!("{}: {}", instance.model, instance.says);
    println!("open http://{address}/ and click; Ctrl-C ends it");
    instance.serve(&address);
    ExitCode::SUCCESS
}

fn small() -> impl Iterator<Item = &'static Instance> {
    INSTANCES.iter().filter(|instance| !instance.is_large)
}

fn instance(name: &str) -> Option<&'static Instance> {
    small().find(|instance| instance.name == name).or_else(|| small().find(|instance| instance.model == name))
}

const ADDRESS: &str = "127.0.0.1:3911";

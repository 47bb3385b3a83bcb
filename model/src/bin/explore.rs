//! Click through the states of a model in the browser.
//!
//! ```text
//! cargo run --release -p quintet-model --bin explore -- MODEL [ADDRESS]
//! ```
//!
//! MODEL is one of those that every commit explores, at the size of `quintet_model::instances`. The page
//! is stateright's own explorer, and needs no network but the loopback address it is served on.

use std::{fmt::Debug, hash::Hash, process::ExitCode};

use quintet_model::instances;
use stateright::{Checker, Model};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or_default();
    let address = arguments.next().unwrap_or_else(|| ADDRESS.to_owned());
    match model.as_str() {
        "run" => serve(instances::run(2, 6), &address),
        "user" => serve(instances::user(2, 1, 1, 3), &address),
        "fence" => serve(instances::fence(2, 1, 3), &address),
        "delivery" => serve(instances::delivery(1), &address),
        "isolation" => serve(instances::isolation(1, 3), &address),
        "connection" => serve(instances::connection(false, 1), &address),
        "ticket" => serve(instances::ticket(2, 4), &address),
        _ => {
            eprintln!(
                "usage: explore MODEL [ADDRESS]\n\n\
                 MODEL is run, user, fence, delivery, isolation, connection or ticket; ADDRESS is {ADDRESS} \
                 unless given"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Serves until it is stopped.
fn serve<M>(model: M, address: &str)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    println!("open http://{address}/ and click; Ctrl-C ends it");
    model.checker().serve(address).is_done();
}

const ADDRESS: &str = "127.0.0.1:3911";

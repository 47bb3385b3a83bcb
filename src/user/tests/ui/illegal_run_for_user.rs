//! A run's id gives no access to a user's machines (ISO-4).

use quintet_kernel::ids::RunId;
use quintet_user::{factory::Factory, handle::User};

fn course(factory: &Factory, run_id: &RunId) -> User {
    factory.attach(run_id)
}

fn main() {}

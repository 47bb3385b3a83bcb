//! A thread's id gives no access to a user's machines (ISO-4).

use quintet_kernel::ids::ThreadId;
use quintet_user::{factory::Factory, handle::User};

fn course(factory: &Factory, thread_id: &ThreadId) -> User {
    factory.attach(thread_id)
}

fn main() {}

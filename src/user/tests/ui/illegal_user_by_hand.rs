//! The handle to a user's machines comes from the factory alone (ISO-4).

use quintet_user::handle::User;

fn course(user: &User) -> User {
    User(user.0.clone())
}

fn main() {}

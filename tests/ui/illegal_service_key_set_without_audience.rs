//! AUTH-5: a key set whose tokens may be for other applications.

use quintet::TokenKeys;

fn main() {
    let _ = TokenKeys::key_set("https://id.example.org/jwks.json");
}

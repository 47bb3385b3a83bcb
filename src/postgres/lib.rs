//! A journal in a [PostgreSQL](https://www.postgresql.org/) database, version 15 or later.
//!
//! ```text
//!   log.append ──▶ queue of the user's writer ──▶ one statement for all that wait ──▶ commit ──▶ replies
//!   log.read …  ──▶ pool of reader connections, one snapshot a call
//! ```
//!
//! # Guarantees
//!
//! - *The head row is the fence*: an append locks the rows of its users, compares head and chain, and is refused if another
//!   append came first, also after the entries that it knew were trimmed. A locked row is skipped, so that one user's
//!   conflict does not delay the others of a group (ISO-6).
//! - An append is never cancelled. It is acknowledged only if its statement succeeded and the server sent no warning with
//!   it, such as the one that replication was not waited for (NODE-5). In every other case its outcome is unknown, and
//!   [`Log::recovery`](quintet_journal::Log::recovery) waits until it is final (DEL-7): each writer connection has a row of
//!   its own, which its appends lock, and which is deleted before the log is read back.
//! - Each process is a node with a lease by the clock of the database, and gives it up before it can expire there (NODE-2).
//!   The append of a node without a lease is refused by its own statement. A node that was seen as expired stays so, and
//!   the runs that it executes may be taken over (RUN-13). A process may have the database to itself instead.
//! - A database that was restored into another cluster, or that failed over to another timeline, has a new epoch before
//!   anything is served (DEL-3). A journal that is open does not follow a fail-over: it is unavailable until it is opened
//!   anew.
//!
//! Statements are unnamed, so that a pooler in transaction mode may stand between. The modules:
//!
//! - `engine`: the journal and its logs; `options`: settings; `open`: migrations, identity, claim
//! - `connect`: connections and their warnings; `pool`: reader connections; `node`: the lease
//! - `wakes`: hints between nodes; `writer`: grouped appends, and their outcome after a failure
//! - `reader`, `index`, `threads`: queries; `trim`, `erase`: retention and erasure (DEL-8)
//! - `schema`: the tables; `statement`: statements that are composed; `fault`: errors

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

mod connect;
mod engine;
mod erase;
mod fault;
mod index;
mod node;
mod open;
mod options;
mod pool;
mod reader;
mod schema;
mod statement;
mod threads;
mod trim;
mod wakes;
mod writer;

pub use self::{
    engine::PostgresJournal,
    fault::OpenError,
    options::{PostgresLimits, PostgresOptions},
    schema::SCHEMA_VERSION,
};

//! Parts that the tests of several packages share.
//!
//! - [`cases`]: the number of cases of a property test
//! - [`kernel`]: an oracle of the kernel, written from the rules alone
//! - [`fuzz`]: the bodies of the fuzz targets
//! - [`ports`]: ports for servers that cannot choose one themselves
//!
//! With the feature `agents`:
//!
//! - `live_run`: a run of an agent without a service
//! - `upstream`: a service of a model that fails as a test wants it
//!
//! With the feature `postgres`:
//!
//! - `postgres`: journals on a server that a script has started
//!
//! With the feature `service`, over the service as a whole:
//!
//! - `http`, `moves`, `context`, `planned_message`: parts of clients
//! - `ledger`, `verdict`: a checker of what a client receives and of a user's whole log, written from the
//!   contract and not from the service's code
//! - `client`, `stream`, `crowd`, `ends`, `process`: clients of a service that runs as a process
//! - `gateway`: a service in the test's own process, over real sockets
//! - `peer_process`: an agent of another project as a process
//! - `stage`: users' machines with agents over a journal in memory
//! - `journal`: engines to test, and a writer of logs

pub mod cases;
pub mod fuzz;
pub mod kernel;
pub mod ports;

#[cfg(feature = "agents")]
pub mod live_run;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "agents")]
pub mod upstream;

#[cfg(feature = "service")]
pub mod client;
#[cfg(feature = "service")]
pub mod context;
#[cfg(feature = "service")]
pub mod crowd;
#[cfg(feature = "service")]
pub mod ends;
#[cfg(feature = "service")]
pub mod gateway;
#[cfg(feature = "service")]
pub mod http;
#[cfg(feature = "service")]
pub mod journal;
#[cfg(feature = "service")]
pub mod ledger;
#[cfg(feature = "service")]
pub mod moves;
#[cfg(feature = "service")]
pub mod peer_process;
#[cfg(feature = "service")]
pub mod planned_message;
#[cfg(feature = "service")]
pub mod process;
#[cfg(feature = "service")]
pub mod stage;
#[cfg(feature = "service")]
pub mod stream;
#[cfg(feature = "service")]
pub mod verdict;

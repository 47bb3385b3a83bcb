//! Tools of MCP servers for the agents of Quintet.

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

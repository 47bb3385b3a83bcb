//! Remote agents over AG-UI as agents of Quintet.

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

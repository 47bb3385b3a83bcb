//! Language models as agents of Quintet: OpenAI chat completions, OpenAI Responses, Anthropic Messages.

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

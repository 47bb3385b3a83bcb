//! The `quintet` binary: the command line with the built-in agents.

fn main() -> std::process::ExitCode {
    quintet::main(quintet::AgentSet::built_in())
}

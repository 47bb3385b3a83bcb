//! An agent that runs as a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// A running agent, killed when it is dropped.
pub struct Process {
    child: Child,
    pub url: String,
}

/// A generation of AG-UI's packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    V1,
    V0,
}

impl Generation {
    /// The value of the agent's key `protocol`.
    pub fn protocol(self) -> &'static str {
        match self {
            Generation::V1 => "1.0",
            Generation::V0 => "0.0.59",
        }
    }
}

/// Returns the path in a variable that `run.sh` sets. Without it the test fails under CI, and is skipped otherwise.
fn installed(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: use tests/agui/run.sh");
        println!("skipped: {variable} is not set, see tests/agui/run.sh");
    }
    path
}

impl Process {
    /// Starts a script of `tests/agui/peers` or `examples/agents` with the packages of a generation.
    pub fn node(generation: Generation, script: &str, arguments: &[&str]) -> Option<Self> {
        let folder = installed(match generation {
            Generation::V1 => "AGUI_NODE_1",
            Generation::V0 => "AGUI_NODE_0",
        })?;
        let mut command = Command::new("node");
        command.arg(folder.join(script)).args(arguments);
        Some(Self::start(command))
    }

    /// Serves the `app` of a Python file of this repository, by the Python that a variable names.
    pub fn python(variable: &str, folder: &str, module: &str) -> Option<Self> {
        let python = installed(variable)?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        let mut command = Command::new(python);
        command
            .args(["-B", "-m", "uvicorn", "--port", "0", "--app-dir"])
            .arg(folder)
            .arg(format!("{module}:app"));
        Some(Self::start(command))
    }

    fn start(mut command: Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let (to_lines, lines) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let to_lines = to_lines.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // The test reads the first lines only.
                    let _ = to_lines.send(line);
                }
            });
        }
        drop(to_lines);
        let mut process = Self { child, url: String::new() };
        let mut seen = String::new();
        while process.url.is_empty() {
            let line = lines.recv_timeout(Duration::from_secs(60));
            let line = line.unwrap_or_else(|_| panic!("the agent has no address:\n{seen}"));
            seen += &format!("{line}\n");
            let address = line.find("http://").map(|at| &line[at..]);
            process.url = address.and_then(|url| url.split(' ').next()).unwrap_or_default().to_owned();
        }
        process
    }

    /// Ends the process as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

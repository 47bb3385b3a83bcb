//! A data folder on a disk with faults that a test sets, and the service on it.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::{
    control::{
        ACTION, ALWAYS, Action, BITTEN, CALLS, CHANCE, CONTROL_VARIABLE, Call, DATABASE, DISK_VARIABLE,
        ERRNO, FILES, FOLDER_VARIABLE, LOG, NO_END, OTHER, SEED_VARIABLE, SKIP, TIMES, WORDS, word,
    },
    process::dev,
};

/// Every file of the data folder.
pub const ALL: u32 = DATABASE | LOG | OTHER;

/// The files with the journal in them.
pub const JOURNAL: u32 = DATABASE | LOG;

pub const ENOSPC: i32 = 28;
pub const EROFS: i32 = 30;
pub const EACCES: i32 = 13;
pub const EIO: i32 = 5;

/// A fault of a kind of call.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: Call,
    pub action: Action,
    pub errno: i32,
    pub files: u32,
    /// In [`ALWAYS`]ths.
    pub chance: u32,
    /// Calls that pass before the first failure.
    pub skip: u32,
    /// Calls that fail.
    pub times: u32,
}

impl Fault {
    /// Every such call on the journal, until the fault is cleared.
    pub const fn every(call: Call, action: Action, errno: i32) -> Self {
        Self { call, action, errno, files: JOURNAL, chance: ALWAYS, skip: 0, times: NO_END }
    }
}

pub struct FaultyDisk {
    /// The data folder; the control file and the copy of the synced bytes lie beside it.
    all: TempDir,
    control: fs::File,
    seed: u64,
}

impl FaultyDisk {
    pub fn new(seed: u64) -> Self {
        let all = TempDir::new().unwrap();
        fs::create_dir(all.path().join("data")).unwrap();
        fs::create_dir(all.path().join("disk")).unwrap();
        let control = fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(all.path().join("control"))
            .unwrap();
        control.set_len(4 * WORDS as u64).unwrap();
        Self { all, control, seed }
    }

    pub fn folder(&self) -> PathBuf {
        // The program opens files by their real path.
        self.all.path().canonicalize().unwrap().join("data")
    }

    /// The command that serves on this disk, with the monitor on.
    pub fn dev(&self) -> Command {
        let mut command = self.under_the_layer(dev(&self.folder()));
        command.arg("--monitor");
        command
    }

    /// Puts any command that opens files of the data folder under the layer.
    pub fn under_the_layer(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", layer())
            .env(FOLDER_VARIABLE, self.folder())
            .env(CONTROL_VARIABLE, self.all.path().join("control"))
            .env(DISK_VARIABLE, self.all.path().join("disk"))
            .env(SEED_VARIABLE, self.seed.to_string());
        command
    }

    /// Sets a fault from now on.
    pub fn set(&self, fault: Fault) {
        let Fault { call, action, errno, files, chance, skip, times } = fault;
        let fields = [
            (ERRNO, errno as u32),
            (FILES, files),
            (CHANCE, chance),
            (SKIP, skip),
            (TIMES, times),
            (BITTEN, 0),
        ];
        self.put(call, ACTION, Action::None as u32);
        fields.into_iter().for_each(|(field, value)| self.put(call, field, value));
        self.put(call, ACTION, action as u32);
    }

    /// Clears all faults.
    pub fn clear(&self) {
        for call in [Call::Open, Call::Read, Call::Write, Call::Sync, Call::Truncate] {
            self.put(call, ACTION, Action::None as u32);
        }
    }

    /// How many calls have failed since the fault was set.
    pub fn bitten(&self, call: Call) -> u32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, 4 * word(call, BITTEN) as u64).unwrap();
        u32::from_ne_bytes(bytes)
    }

    /// Loses the power while no process runs: only synced bytes are kept.
    pub fn lose_power(&self) {
        const { assert!(CALLS == 5) };
        for file in ["quintet.db", "quintet.db-wal"] {
            let (live, on_disk) = (self.folder().join(file), self.on_disk(file));
            if on_disk.exists() {
                fs::copy(&on_disk, &live).unwrap();
            } else {
                remove(&live);
            }
            remove(&self.on_disk(&format!("{file}.lost")));
        }
        remove(&self.folder().join("quintet.db-shm"));
    }

    fn on_disk(&self, file: &str) -> PathBuf {
        self.all.path().join("disk").join(file)
    }

    fn put(&self, call: Call, field: usize, value: u32) {
        self.control.write_all_at(&value.to_ne_bytes(), 4 * word(call, field) as u64).unwrap();
    }
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", path.display()),
        _ => {}
    }
}

/// Builds the layer in the target folder of this test.
fn layer() -> &'static Path {
    static LAYER: OnceLock<PathBuf> = OnceLock::new();
    LAYER.get_or_init(|| {
        let program = Path::new(env!("CARGO_BIN_EXE_quintet"));
        let target = program.parent().and_then(Path::parent).unwrap();
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--locked",
                "--offline",
                "--package",
                "quintet-fault-layer",
                "--target-dir",
            ])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success(), "the fault layer was not built");
        target.join("debug").join("libquintet_fault_layer.so")
    })
}

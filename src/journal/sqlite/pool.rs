//! A fixed pool of reader threads, so that no query runs on a thread of the async runtime.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    fault::{OpenError, ReadFailure, closed, fault},
    schema,
};
use crate::JournalError;

/// A query that sends its own reply. Returns whether the connection may be reused.
type ReadJob = Box<dyn FnOnce(Result<&mut Connection, rusqlite::Error>) -> Health + Send>;

enum Health {
    Good,
    /// The storage failed: the next query starts on a new connection.
    Suspect,
}

/// The bounded queue to the reader threads; senders wait for room.
#[derive(Clone)]
pub(super) struct Readers {
    jobs: mpsc::Sender<ReadJob>,
}

/// The connections of the readers, and the lock with which the writer pauses them.
pub(super) struct ReadSide {
    path: PathBuf,
    /// Held shared by running queries, and exclusively by the writer while it needs the database alone.
    door: RwLock<()>,
    idle: Mutex<Vec<Connection>>,
    /// True while a transaction of unknown outcome may be in the log without being visible to queries.
    in_doubt: AtomicBool,
}

impl ReadSide {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            door: RwLock::default(),
            idle: Mutex::default(),
            in_doubt: AtomicBool::new(false),
        })
    }

    /// Runs `act` while no query runs; new queries wait.
    pub(super) fn held<T>(&self, act: impl FnOnce() -> T) -> T {
        let _alone = self.door.write().unwrap_or_else(PoisonError::into_inner);
        act()
    }

    /// Sets whether a transaction of unknown outcome may still appear.
    pub(super) fn set_in_doubt(&self, in_doubt: bool) {
        self.in_doubt.store(in_doubt, Ordering::Release);
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Acquire)
    }

    /// Closes all idle connections, so that the next queries use new ones.
    pub(super) fn close_idle(&self) {
        self.idle().clear();
    }

    fn answer(&self, job: ReadJob) {
        let _with_others = self.door.read().unwrap_or_else(PoisonError::into_inner);
        let idle = self.idle().pop();
        match idle.map_or_else(|| schema::open_to_read(&self.path), Ok) {
            Ok(mut open) => {
                match job(Ok(&mut open)) {
                    Health::Good => self.idle().push(open),
                    // The fault may affect the other connections too.
                    Health::Suspect => self.close_idle(),
                }
            }
            Err(error) => {
                job(Err(error));
            }
        }
    }

    /// Locks the idle connections. The lock cannot be poisoned: nothing panics while it is held.
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readers {
    /// Starts the threads, which end when the last `Readers` is dropped.
    pub(super) fn start(
        side: &Arc<ReadSide>,
        threads: usize,
        waiting_max: usize,
    ) -> Result<(Self, Vec<JoinHandle<()>>), OpenError> {
        let (jobs, waiting) = mpsc::channel(waiting_max.max(1));
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..threads.max(1))
            .map(|i| {
                let (side, waiting) = (side.clone(), waiting.clone());
                std::thread::Builder::new()
                    .name(format!("journal-read-{i}"))
                    .spawn(move || work(&side, &waiting))
                    .map_err(OpenError::Thread)
            })
            .collect::<Result<_, _>>()?;
        Ok((Self { jobs }, threads))
    }

    /// Runs `query` on a reader and returns its result.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Connection) -> Result<T, ReadFailure> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |connection| {
            let result = match connection {
                Ok(connection) => query(connection).map_err(ReadFailure::into_error),
                Err(error) => Err(fault(&error)),
            };
            let health = if result.is_ok() { Health::Good } else { Health::Suspect };
            // The caller may be gone.
            let _ = reply.send(result);
            health
        });
        self.jobs.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

fn work(side: &ReadSide, waiting: &Mutex<mpsc::Receiver<ReadJob>>) {
    loop {
        // One reader waits on the queue, the others on this lock. It cannot be poisoned: nothing panics while
        // it is held.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        side.answer(job);
    }
}

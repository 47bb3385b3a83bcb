//! The service as a host of the simulated network: started as by a supervisor, again and again if a start
//! fails; drained on request.

use std::{
    cell::RefCell,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use quintet::{
    agent::{rehearsal::Rehearsal, supervisor::Executor},
    gateway::Gateway,
    ops::config::Settings,
    service::{CheckedSettings, Drained, Parts, Service, ServiceError, built_in},
};
use tempfile::NamedTempFile;
use tokio::{sync::watch, time::Instant};
use turmoil::net::{TcpListener, TcpStream};

use crate::{clock::SimClock, trouble::Trouble};

/// The one server, by name.
pub const SERVER: &str = "server";

/// Its public port.
pub const PORT: u16 = 80;

/// The key that signs tokens.
pub const SECRET: &[u8] = b"a secret that is as long as a secret has to be";

/// The state of the server, for the other hosts. Clones share it.
#[derive(Clone)]
pub struct Place(Rc<Inner>);

struct Inner {
    clock: SimClock,
    journal: Trouble,
    settings: Settings,
    /// The gateway, while it serves.
    gateway: RefCell<Option<Gateway>>,
    drains: watch::Sender<bool>,
    /// The results of drains, with the time that each took.
    drained: RefCell<Vec<(Drained, Duration)>>,
}

impl Place {
    pub fn new(clock: &SimClock, journal: &Trouble, mut settings: Settings) -> Self {
        // A simulation crashes far more often than any crash loop: every run has to end as its wish expects.
        (settings.kernel.run_resumes_max, settings.kernel.run_resumes_total_max) = (1_000_000, 1_000_000);
        Self(Rc::new(Inner {
            clock: clock.clone(),
            journal: journal.clone(),
            settings: Settings {
                jwt_secret: Some(KEY.path().to_owned()),
                monitor: true,
                trace_file: trace_file(),
                ..settings
            },
            gateway: RefCell::new(None),
            drains: watch::Sender::new(false),
            drained: RefCell::default(),
        }))
    }

    /// Returns the shared state of the handlers, while it serves.
    pub fn gateway(&self) -> Option<Gateway> {
        self.0.gateway.borrow().clone()
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Releases everything of a process that is gone, or about to be.
    pub fn forget(&self) {
        self.0.gateway.take();
        self.0.drains.send_replace(false);
    }

    /// SIGTERM.
    pub fn drain(&self) {
        self.0.drains.send_replace(true);
    }

    pub fn drained(&self) -> Vec<(Drained, Duration)> {
        self.0.drained.borrow().clone()
    }

    /// One process, from its start to the end of its drain.
    pub async fn serve(self) -> turmoil::Result {
        let Inner { clock, journal, settings, gateway, drains, drained } = &*self.0;
        let mut told = drains.subscribe();
        let listen = |port: u16| TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port)));
        let (public, admin) = (Listening(listen(PORT).await?), Listening(listen(PORT + 1).await?));
        let parts = Parts {
            journal: Arc::new(journal.clone()),
            agents: Arc::new(built_in(Executor::shared()).with(Rehearsal).unwrap()),
            described: Vec::new(),
        };
        let checked = CheckedSettings::production(settings.clone())?;
        let service = Service::new(checked, parts).with_prometheus()?;
        let running = match service.start_on(public, admin).await {
            Ok(running) => running,
            // The process ends with all its state; its supervisor starts another.
            Err(ServiceError::Recovery(error)) => {
                clock.note(SERVER, format_args!("not started: {error}"));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        clock.note(SERVER, "serves");
        gateway.replace(Some(running.gateway().clone()));
        // The sender lives outside.
        let _ = told.wait_for(|drains| *drains).await;
        let begun = Instant::now();
        let outcome = running.drain().await;
        clock.note(SERVER, format_args!("{outcome:?} after {:?}", begun.elapsed()));
        drained.borrow_mut().push((outcome, begun.elapsed()));
        gateway.take();
        Ok(())
    }
}

/// A listener of the simulated network, in the form that the service needs.
struct Listening(TcpListener);

impl axum::serve::Listener for Listening {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Ok(accepted) = self.0.accept().await {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The trace file of the processes of one simulation, if the environment requests traces: see
/// `docs/model/traces.md`.
fn trace_file() -> Option<PathBuf> {
    static SIMULATIONS: AtomicUsize = AtomicUsize::new(0);
    let folder = PathBuf::from(std::env::var_os("TRACE_FOLDER")?);
    let (process, number) = (std::process::id(), SIMULATIONS.fetch_add(1, Ordering::Relaxed));
    Some(folder.join(format!("sim-{process}-{number}.jsonl")))
}

/// Production takes its key from a file.
static KEY: LazyLock<NamedTempFile> = LazyLock::new(|| {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(SECRET).unwrap();
    file
});

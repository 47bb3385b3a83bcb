//! The state that all users' machines share.

use std::{hash::RandomState, sync::Arc, time::Duration};

use super::{
    limits::UserLimits,
    quiesce::ActiveRuns,
    room::Room,
    sync::{AtomicBool, AtomicUsize, Mutex, Ordering},
    trials::Trials,
};
use crate::{
    agent::host::{Owner, SharedAgentLauncher},
    journal::Journal,
    kernel::ids::{Incarnation, UserId},
    observer::Observer,
    runtime::saturation::Saturation,
};

/// The state that all users' machines share. Contains nothing of any user.
pub(crate) struct Shared {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) agents: SharedAgentLauncher,
    pub(super) limits: UserLimits,
    /// The limits that refuse something (ISO-6).
    pub(super) saturation: Saturation,
    pub(super) active_runs: ActiveRuns,
    /// The number of accepted messages of all users whose runs have not started.
    pub(super) waiting: AtomicUsize,
    pub(super) trials: Trials,
    /// The id of this process in the journal: the executor of its runs (RUN-13).
    pub(super) incarnation: Incarnation,
    draining: AtomicBool,
    quiescing: AtomicBool,
    room: Mutex<Room>,
    /// The hash keys of [`Owner`]s.
    owners: RandomState,
}

impl Shared {
    pub(super) fn new(
        journal: Arc<dyn Journal>,
        agents: SharedAgentLauncher,
        limits: UserLimits,
        observer: Arc<dyn Observer>,
        saturation: Saturation,
    ) -> Self {
        Self {
            incarnation: journal.incarnation(),
            journal,
            observer,
            agents,
            limits,
            saturation,
            active_runs: ActiveRuns::new(),
            waiting: AtomicUsize::new(0),
            trials: Trials::new(Duration::from_millis(limits.hub.resume_settle_timeout_ms)),
            draining: AtomicBool::new(false),
            quiescing: AtomicBool::new(false),
            room: Mutex::new(Room::default()),
            owners: RandomState::new(),
        }
    }

    /// Returns true once no message is accepted any more.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Returns true once no command of a client is accepted any more.
    pub(super) fn is_quiescing(&self) -> bool {
        self.quiescing.load(Ordering::Acquire)
    }

    pub(super) fn quiesce(&self) {
        self.quiescing.store(true, Ordering::Release);
    }

    pub(super) fn room(&self) -> Room {
        *self.room.lock()
    }

    pub(super) fn set_room(&self, room: Room) {
        *self.room.lock() = room;
    }

    pub(super) fn owner(&self, user_id: &UserId) -> Owner {
        Owner::of(&self.owners, user_id)
    }
}

//! Fair polling of agents: a future behind the gate is polled only while its user holds a turn.
//!
//! ```text
//!             woken ─▶ in line ── a turn is free ──▶ has a turn, its task is woken
//!   idle ──────┘                                              │ polled
//!    ▲                                                        ▼
//!    └──────── nothing woke it meanwhile ◀── the turn ends ── running
//!              otherwise in line again, behind the other users
//! ```
//!
//! Guarantee (ISO-6): the number of threads that the agents of one user occupy is bounded ([`super::turns`]). A
//! run that waits for a client, a disk or a network holds no turn. A turn ends when its poll returns or panics,
//! or its future is dropped. A future is queued when it is woken, not when a thread reaches it, so the order of
//! turns does not depend on the queues of the runtime.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use super::turns::{TurnId, TurnRequest, Turns};
use crate::host::{Owner, QueueTime, QueueTimeGuard};

/// The gate of all agents of a service. Clones share it.
#[derive(Clone)]
pub struct Gate(Arc<Mutex<GateState>>);

struct GateState {
    turns: Turns<Owner>,
    next: TurnId,
    /// The futures behind the gate, by job.
    tasks: HashMap<TurnId, GatedTask>,
}

struct GatedTask {
    owner: Owner,
    line: QueueTime,
    phase: TaskPhase,
    /// The waker of the task that polls the future.
    task: Waker,
}

enum TaskPhase {
    Idle,
    Queued { _wait: QueueTimeGuard },
    HasTurn,
    Running { woken: bool },
}

impl Gate {
    /// Creates a gate that polls at most `turns_max` agents at a time, `user_turns_max` of one user.
    pub fn new(turns_max: usize, user_turns_max: usize) -> Self {
        let turns = Turns::new(turns_max, user_turns_max);
        Self(Arc::new(Mutex::new(GateState { turns, next: 0, tasks: HashMap::new() })))
    }

    /// Puts `work` of one user behind the gate. `line` records the time that it waits there.
    pub fn pass<F>(&self, owner: Owner, line: QueueTime, work: F) -> Passing<F>
    where
        F: Future + Unpin,
    {
        Passing { gate: self.clone(), owner, line, registered: None, work }
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GateState {
    /// Requests a turn for an idle future. Returns its task if the turn is granted at once.
    fn ask(&mut self, job: TurnId) -> Option<Waker> {
        let gated = self.tasks.get_mut(&job)?;
        match self.turns.ask(gated.owner, job) {
            TurnRequest::Granted => {
                gated.phase = TaskPhase::HasTurn;
                Some(gated.task.clone())
            }
            TurnRequest::Queued => {
                gated.phase = TaskPhase::Queued { _wait: gated.line.enter() };
                None
            }
        }
    }

    /// Ends a turn. Returns the task that gets the next one.
    fn finish(&mut self, owner: Owner) -> Option<Waker> {
        let (_, job) = self.turns.finish(owner)?;
        let gated = self.tasks.get_mut(&job)?;
        gated.phase = TaskPhase::HasTurn;
        Some(gated.task.clone())
    }
}

/// A future behind a [`Gate`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Passing<F> {
    gate: Gate,
    owner: Owner,
    line: QueueTime,
    /// Its job and the waker for the inner poll; `None` before the first poll.
    registered: Option<(TurnId, Waker)>,
    work: F,
}

/// A waker that queues a future for a turn.
struct Bell {
    gate: Gate,
    job: TurnId,
}

/// A guard of a turn.
struct TurnGuard<'a>(&'a Gate, TurnId);

impl<F: Future + Unpin> Future for Passing<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { gate, owner, line, registered, work } = self.get_mut();
        let mut state = gate.lock();
        let (job, bell) = registered.get_or_insert_with(|| {
            let (job, task) = (state.next, context.waker().clone());
            state.next += 1;
            let gated = GatedTask { owner: *owner, line: line.clone(), phase: TaskPhase::Idle, task };
            state.tasks.insert(job, gated);
            // The task is already being polled, so it needs no wake-up for a turn that is granted at once.
            let _this_task = state.ask(job);
            (job, Waker::from(Arc::new(Bell { gate: gate.clone(), job })))
        });
        let Some(gated) = state.tasks.get_mut(job) else { return Poll::Pending };
        gated.task.clone_from(context.waker());
        let TaskPhase::HasTurn = gated.phase else { return Poll::Pending };
        gated.phase = TaskPhase::Running { woken: false };
        drop(state);
        let _turn = TurnGuard(gate, *job);
        Pin::new(work).poll(&mut Context::from_waker(bell))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.gate.lock();
        let Some(gated) = state.tasks.get_mut(&self.job) else { return };
        let task = match &mut gated.phase {
            TaskPhase::Idle => state.ask(self.job),
            TaskPhase::Running { woken } => {
                *woken = true;
                None
            }
            TaskPhase::Queued { .. } | TaskPhase::HasTurn => None,
        };
        drop(state);
        task.inspect(Waker::wake_by_ref);
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        let Self(gate, job) = self;
        let mut state = gate.lock();
        let Some(gated) = state.tasks.get_mut(job) else { return };
        let (owner, phase) = (gated.owner, std::mem::replace(&mut gated.phase, TaskPhase::Idle));
        // Queue behind the others before the turn passes to one of them.
        let again = if let TaskPhase::Running { woken: true } = phase { state.ask(*job) } else { None };
        let next = state.finish(owner);
        drop(state);
        again.inspect(Waker::wake_by_ref);
        next.inspect(Waker::wake_by_ref);
    }
}

impl<F> Drop for Passing<F> {
    fn drop(&mut self) {
        let Some((job, _)) = self.registered.take() else { return };
        let mut state = self.gate.lock();
        let gated = state.tasks.remove(&job);
        let next = match &gated {
            Some(GatedTask { phase: TaskPhase::HasTurn, .. }) => state.finish(self.owner),
            Some(GatedTask { phase: TaskPhase::Queued { .. }, .. }) => {
                state.turns.leave(self.owner, job);
                None
            }
            Some(_) | None => None,
        };
        // A waker may own the last reference to a task, whose drop re-enters the gate: release the lock first.
        drop(state);
        drop(gated);
        next.inspect(Waker::wake_by_ref);
    }
}

/// Ends the turn of an agent that has more to do, so that others run first. Unlike `tokio::task::yield_now`, it
/// does not wait for the runtime to poll its I/O driver.
pub async fn yield_turn() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio_test::task::{self, Spawn};

    use super::*;

    type Work = Pin<Box<dyn Future<Output = usize>>>;

    const ANN: Owner = Owner::new(1);
    const BOB: Owner = Owner::new(2);

    /// Returns work that takes `turns` turns and returns the number of turns taken before its last one.
    fn work(gate: &Gate, owner: Owner, turns: usize, taken: &Arc<AtomicUsize>) -> Spawn<Passing<Work>> {
        let taken = taken.clone();
        let work: Work = Box::pin(async move {
            for _ in 1..turns {
                taken.fetch_add(1, Ordering::Relaxed);
                yield_turn().await;
            }
            taken.fetch_add(1, Ordering::Relaxed)
        });
        task::spawn(gate.pass(owner, QueueTime::default(), work))
    }

    /// Takes a turn that lasts until it is dropped.
    fn hold(gate: &Gate, owner: Owner) -> TurnGuard<'_> {
        let mut state = gate.lock();
        let job = state.next;
        state.next += 1;
        let task = Waker::noop().clone();
        state
            .tasks
            .insert(job, GatedTask { owner, line: QueueTime::default(), phase: TaskPhase::Idle, task });
        assert!(state.ask(job).is_some(), "a turn is free");
        TurnGuard(gate, job)
    }

    /// ISO-6: another user's run of ten turns alternates with 200 runs of one user that compute without end.
    #[test]
    fn iso_6_another_user_waits_for_one_turn_at_a_time() {
        let (gate, taken) = (Gate::new(1, 1), Arc::default());
        let mut crowd: Vec<_> = (0..200).map(|_| work(&gate, ANN, usize::MAX, &taken)).collect();
        let first = hold(&gate, ANN);
        crowd.iter_mut().for_each(|run| assert!(run.poll().is_pending()));
        let mut other = work(&gate, BOB, 10, &taken);
        assert!(other.poll().is_pending());
        drop(first);
        let before = loop {
            // Poll every woken task, as a runtime would.
            if other.is_woken()
                && let Poll::Ready(before) = other.poll()
            {
                break before;
            }
            for run in crowd.iter_mut().filter(|run| run.is_woken()) {
                let _ = run.poll();
            }
            assert!(taken.load(Ordering::Relaxed) < 1_000, "the other user waits for every run");
        };
        assert!(before <= 20, "{before} turns were taken before the ten of the other user");
    }

    #[test]
    fn iso_6_one_user_never_holds_every_thread() {
        let (gate, taken) = (Gate::new(4, 1), Arc::default());
        let busy = hold(&gate, ANN);
        let mut own = work(&gate, ANN, 1, &taken);
        assert!(own.poll().is_pending(), "the user's own runs wait");
        assert!(work(&gate, BOB, 1, &taken).poll().is_ready());
        drop(busy);
        assert!(own.is_woken() && own.poll().is_ready());
    }

    #[test]
    fn a_turn_ends_with_a_panic_and_with_a_drop() {
        let (gate, taken) = (Gate::new(1, 1), Arc::default());
        let panics: Work = Box::pin(async { panic!("on purpose") });
        let mut panics = task::spawn(gate.pass(ANN, QueueTime::default(), panics));
        assert!(catch_unwind(AssertUnwindSafe(|| panics.poll())).is_err());

        let busy = hold(&gate, ANN);
        let (mut in_line, mut woken) = (work(&gate, BOB, 1, &taken), work(&gate, BOB, 1, &taken));
        let mut last = work(&gate, ANN, 1, &taken);
        assert!(in_line.poll().is_pending() && woken.poll().is_pending() && last.poll().is_pending());
        drop(in_line);
        drop(busy);
        assert!(woken.is_woken() && !last.is_woken());
        drop(woken);
        assert!(last.is_woken() && last.poll().is_ready(), "the turn of a dropped future is passed on");
        drop((panics, last));
        let state = gate.lock();
        assert!(state.tasks.values().all(|gated| matches!(gated.phase, TaskPhase::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_time_is_recorded() {
        let (gate, line, second) = (Gate::new(1, 1), QueueTime::default(), std::time::Duration::from_secs(1));
        let event = tokio::sync::Notify::new();
        let waits = Box::pin(async {
            event.notified().await;
            event.notified().await;
        });
        let mut run = task::spawn(gate.pass(ANN, line.clone(), waits));
        assert!(run.poll().is_pending());
        tokio::time::advance(second).await;
        let busy = hold(&gate, ANN);
        event.notify_one();
        assert!(!run.is_woken(), "it has no turn");
        tokio::time::advance(second).await;
        drop(busy);
        assert!(run.is_woken() && run.poll().is_pending());
        tokio::time::advance(second).await;
        assert_eq!(line.waited(tokio::time::Instant::now()), second);
    }
}

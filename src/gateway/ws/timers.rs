//! The timers of one connection, multiplexed onto a single sleep.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    gateway::limits::GatewayLimits,
    kernel::{connection::Timer, ids::Timestamp},
    runtime::clock,
};

/// Deadlines of the armed timers.
pub struct Timers {
    limits: GatewayLimits,
    armed: [Option<Instant>; Timer::ALL.len()],
    expires_at: Timestamp,
    sleep: Pin<Box<Sleep>>,
}

impl Timers {
    /// Creates the timers with none armed.
    pub fn new(limits: GatewayLimits) -> Self {
        let sleep = Box::pin(sleep_until(Instant::now()));
        Self { limits, armed: [None; Timer::ALL.len()], expires_at: Timestamp(u64::MAX), sleep }
    }

    /// Arms a timer with its configured timeout. A timer that is armed starts over.
    pub fn arm(&mut self, timer: Timer) {
        self.armed[timer as usize] = Some(Instant::now() + self.wait(timer));
    }

    /// Disarms a timer.
    pub fn disarm(&mut self, timer: Timer) {
        self.armed[timer as usize] = None;
    }

    /// Makes a timer elapse immediately.
    pub fn run_out(&mut self, timer: Timer) {
        self.armed[timer as usize] = Some(Instant::now());
    }

    /// Arms [`Timer::Expiry`] for a wall-clock time, which is re-checked because the clock may be set.
    pub fn expire_at(&mut self, expires_at: Timestamp) {
        self.expires_at = expires_at;
        self.arm(Timer::Expiry);
    }

    /// Resolves to the next elapsed timer and disarms it.
    pub fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        loop {
            let armed = Timer::ALL.iter().filter_map(|timer| Some((self.armed[*timer as usize]?, *timer)));
            let Some((deadline, timer)) = armed.min() else { return Poll::Pending };
            if deadline > Instant::now() {
                // Waking too early only loops; resetting on each change is not worth it, as most timers are
                // disarmed in time.
                if self.sleep.is_elapsed() || self.sleep.deadline() > deadline {
                    self.sleep.as_mut().reset(deadline);
                }
                std::task::ready!(self.sleep.as_mut().poll(cx));
                continue;
            }
            if timer == Timer::Expiry && clock::now() < self.expires_at {
                self.arm(timer);
                continue;
            }
            self.disarm(timer);
            return Poll::Ready(timer);
        }
    }

    fn wait(&self, timer: Timer) -> Duration {
        Duration::from_millis(match timer {
            Timer::Hello => self.limits.hello_timeout_ms,
            Timer::SetUp => self.limits.setup_timeout_ms,
            Timer::Heartbeat => self.limits.heartbeat_interval_ms,
            Timer::Pong => self.limits.pong_timeout_ms,
            Timer::Stall => self.limits.stall_timeout_ms,
            Timer::Leave => self.limits.drain_flush_timeout_ms,
            Timer::Expiry => self.expires_at.millis_since(clock::now()).min(WALL_CHECK_MS_MAX),
        })
    }
}

/// Interval at which the wall clock is re-checked, since it may be set.
const WALL_CHECK_MS_MAX: u64 = 30_000;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn timers() -> Timers {
        Timers::new(GatewayLimits::DEFAULT)
    }

    #[tokio::test(start_paused = true)]
    async fn timers_elapse_in_order_and_disarmed_ones_never() {
        let (mut timers, start) = (timers(), Instant::now());
        timers.arm(Timer::Heartbeat);
        timers.arm(Timer::Hello);
        timers.arm(Timer::SetUp);
        timers.disarm(Timer::SetUp);
        assert_eq!(poll_fn(|cx| timers.poll_elapsed(cx)).await, Timer::Hello);
        assert_eq!(start.elapsed().as_millis() as u64 / 10, GatewayLimits::DEFAULT.hello_timeout_ms / 10);
        assert_eq!(poll_fn(|cx| timers.poll_elapsed(cx)).await, Timer::Heartbeat);
        assert!(tokio_test::task::spawn(poll_fn(|cx| timers.poll_elapsed(cx))).poll().is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_armed_anew_starts_over() {
        let (mut timers, start) = (timers(), Instant::now());
        timers.arm(Timer::Hello);
        tokio::time::advance(Duration::from_secs(3)).await;
        timers.arm(Timer::Hello);
        assert_eq!(poll_fn(|cx| timers.poll_elapsed(cx)).await, Timer::Hello);
        assert!(start.elapsed() >= Duration::from_secs(8));
    }

    #[tokio::test(start_paused = true)]
    async fn auth_3_wall_clock_decides_when_a_credential_expires() {
        let mut timers = timers();
        timers.expire_at(Timestamp(clock::now().0 + 3_600_000));
        {
            let mut elapsed = tokio_test::task::spawn(poll_fn(|cx| timers.poll_elapsed(cx)));
            assert!(elapsed.poll().is_pending());
            // Advances the runtime's clock only, not the wall clock.
            tokio::time::advance(Duration::from_secs(4_000)).await;
            assert!(elapsed.poll().is_pending());
        }
        timers.expire_at(clock::now());
        assert_eq!(poll_fn(|cx| timers.poll_elapsed(cx)).await, Timer::Expiry);
    }
}

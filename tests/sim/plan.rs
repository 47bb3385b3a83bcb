//! The random choices of a seed before a simulation: users and devices, limits, and faults with their times.

use quintet::{
    gateway::limits::GatewayLimits,
    ops::config::Settings,
    user::{deadline::DeadlineLimits, tail::TailLimits},
};
use rand::{RngExt, rngs::StdRng};

use crate::trouble::JournalFaults;

/// The plan of one simulation.
#[derive(Clone, Debug)]
pub struct Plan {
    pub users: usize,
    /// Devices of each user.
    pub devices: Vec<usize>,
    pub settings: Settings,
    /// Time that a step of the simulation takes: messages are delivered between steps.
    pub tick_ms: u64,
    /// Time in which new messages are sent and faults happen.
    pub load_ms: u64,
    /// Some tokens live only for seconds.
    pub short_tokens: bool,
    /// In order of time.
    pub faults: Vec<(u64, Fault)>,
}

/// A fault, which is repaired after `ms` if it does not pass by itself.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The server is gone at once; a new process starts after `down_ms`.
    Crash { down_ms: u64 },
    /// The same without a notice to any peer: the machine lost its power.
    PowerLoss { down_ms: u64 },
    /// The server drains; a new process starts when it has ended.
    Drain,
    /// Packets between a device and the server are lost, both ways.
    Partition { device: usize, ms: u64 },
    /// Packets are lost one way: a half-open link.
    HalfOpen { device: usize, to_server: bool, ms: u64 },
    /// Packets are held, both ways, and arrive all at once when the link is repaired.
    Hold { device: usize, ms: u64 },
    /// All packets in flight between a device and the server are lost, both ways.
    Loss { device: usize },
    /// The latency of a device changes.
    Latency { device: usize, latency_ms: u64 },
    /// The device drops its connections without a close.
    Reset { device: usize },
    /// The server's clock is set.
    Clock { by_ms: i64 },
    /// The journal fails.
    Journal { faults: JournalFaults, ms: u64 },
}

impl Plan {
    pub fn draw(rng: &mut StdRng) -> Self {
        let users = rng.random_range(2..=3);
        let devices: Vec<usize> = (0..users).map(|_| if rng.random_bool(0.2) { 3 } else { 2 }).collect();
        let all = devices.iter().sum();
        let load_ms = rng.random_range(1_000..3_500);
        let mut faults: Vec<_> = (0..rng.random_range(0..14))
            .map(|_| (rng.random_range(0..load_ms), Fault::draw(rng, all, load_ms)))
            .collect();
        for _ in 0..rng.random_range(0..4) {
            faults.push((rng.random_range(0..load_ms), Fault::Loss { device: rng.random_range(0..all) }));
        }
        // Adds an end of the service during a partition, which chance alone would rarely draw.
        if rng.random_bool(0.3) {
            let (at_ms, device) = (rng.random_range(0..load_ms), rng.random_range(0..all));
            faults.push((at_ms, Fault::Partition { device, ms: rng.random_range(50..4_000) }));
            faults.push((at_ms + rng.random_range(0..100), Fault::Drain));
        }
        faults.sort_by_key(|(at_ms, _)| *at_ms);
        let tick_ms = rng.random_range(2..=8);
        let short_tokens = rng.random_bool(0.3);
        Self { users, devices, settings: settings(rng), tick_ms, load_ms, short_tokens, faults }
    }

    /// All devices of all users.
    pub fn devices(&self) -> usize {
        self.devices.iter().sum()
    }
}

impl Fault {
    fn draw(rng: &mut StdRng, devices: usize, load_ms: u64) -> Self {
        let device = rng.random_range(0..devices);
        let ms = rng.random_range(20..load_ms);
        match rng.random_range(0..24) {
            0..=3 => Fault::Crash { down_ms: rng.random_range(0..400) },
            4 => Fault::PowerLoss { down_ms: rng.random_range(0..1_500) },
            5 | 6 => Fault::Drain,
            7..=9 => Fault::Partition { device, ms },
            10..=12 => Fault::HalfOpen { device, to_server: rng.random_bool(0.5), ms },
            13 | 14 => Fault::Hold { device, ms },
            15 | 16 => Fault::Loss { device },
            17 | 18 => Fault::Latency { device, latency_ms: latency(rng) },
            19 => Fault::Reset { device },
            20 | 21 => {
                let hours = *[1_000, 60_000, 3_700_000, 7_200_000].get(rng.random_range(0..4)).unwrap_or(&0);
                let by_ms = rng.random_range(0..hours) as i64;
                Fault::Clock { by_ms: if rng.random_bool(0.5) { by_ms } else { -by_ms } }
            }
            _ => Fault::Journal { faults: JournalFaults::draw(rng), ms },
        }
    }
}

impl JournalFaults {
    fn draw(rng: &mut StdRng) -> Self {
        let mut of_thousand = |often: f64| if rng.random_bool(often) { rng.random_range(1..500) } else { 0 };
        let (refused, unconfirmed, unread) = (of_thousand(0.6), of_thousand(0.6), of_thousand(0.4));
        let takes_ms_max = if rng.random_bool(0.5) { rng.random_range(1..60) } else { 0 };
        Self { refused, unconfirmed, unread, takes_ms_max }
    }
}

/// A near, a far or a very far device.
pub fn latency(rng: &mut StdRng) -> u64 {
    match rng.random_range(0..10) {
        0..=5 => rng.random_range(1..6),
        6..=8 => rng.random_range(6..60),
        _ => rng.random_range(60..200),
    }
}

/// Limits that are reached within seconds, small enough to reach every path.
fn settings(rng: &mut StdRng) -> Settings {
    let gateway = GatewayLimits {
        request_header_timeout_ms: 3_000,
        hello_timeout_ms: 2_000,
        setup_timeout_ms: 3_000,
        heartbeat_interval_ms: rng.random_range(500..3_000),
        pong_timeout_ms: rng.random_range(800..2_000),
        stall_timeout_ms: rng.random_range(800..3_000),
        drain_flush_timeout_ms: rng.random_range(200..1_500),
        ws_close_timeout_ms: rng.random_range(100..1_000),
        drain_timeout_ms: rng.random_range(200..3_000),
        drain_close_timeout_ms: rng.random_range(200..1_500),
        reconnect_after_ms: rng.random_range(10..200),
        chunk_entries_max: rng.random_range(1..64),
        chunk_bytes_max: rng.random_range(1_024..32 * 1_024),
        connection_commands_max: rng.random_range(1..16),
        waiting_replies_max: rng.random_range(1..32),
        ..GatewayLimits::DEFAULT
    };
    let deadlines =
        DeadlineLimits { step_timeout_ms: rng.random_range(500..3_000), ..DeadlineLimits::DEFAULT };
    let tail = TailLimits {
        tail_entries_max: rng.random_range(1..256),
        tail_bytes_max: rng.random_range(1_024..64 * 1_024),
    };
    Settings {
        allow_origin: vec!["https://chat.example.org".to_owned()],
        extra_agents: vec!["rehearsal".to_owned()],
        // The service's own monitor is on as well.
        monitor: true,
        gateway,
        deadlines,
        tail,
        ..Settings::default()
    }
}

//! Ports for servers that cannot choose one themselves.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// The ports that are tried: below those that Linux gives to clients, and to listeners that ask for any
/// (`ip_local_port_range`, 32,768 and up). A port of that range may be given away before its server has taken it.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// How many ports are kept apart for the process of each test.
const PER_PROCESS: u32 = 40;

/// Returns a port of the loopback interface that has no listener and is returned once.
///
/// # Panics
/// When all of them are in use.
pub fn spare_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(process::id() * PER_PROCESS % u32::from(COUNT)).expect("COUNT is a u16");
    let mut candidates = std::iter::repeat_with(|| TAKEN.fetch_add(1, Ordering::Relaxed))
        .take_while(|taken| *taken < COUNT)
        .map(|taken| FIRST + (first + taken) % COUNT);
    candidates
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a port below 32,000 is free")
}

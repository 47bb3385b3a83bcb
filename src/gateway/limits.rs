//! Every bound that the gateway keeps. What is reached is answered as the contract says:
//! `limit_reached`, `rate_limited`, `too_large`, or a close with 4429 or 1013.

use super::tickets::TicketLimits;
use crate::{
    journal::ReadLimit,
    kernel::{connection, ticket::Lifetime},
    wire::server::SocketLimits,
};

crate::limits! {
    /// The bounds of the public listener.
    pub struct GatewayLimits {
        /// Bytes of one HTTP request body.
        pub body_bytes_max: usize = 512 * 1024, in 1_024..=67_108_864;
        /// Bytes of one HTTP request head.
        pub head_bytes_max: usize = 16 * 1024, in 8_192..=1_048_576;
        /// Time in which a peer must send the whole head of a request.
        pub head_wait_ms_max: u64 = 10_000, in 100..=600_000;
        /// Time in which a peer must send the whole body of a request.
        pub body_wait_ms_max: u64 = 30_000, in 100..=600_000;
        /// Time that a request may take in all; then its outcome is not known (DEL-7).
        pub request_wait_ms_max: u64 = 60_000, in 100..=600_000;
        /// Bytes of the log that are looked through for one page, which is then no longer than that.
        pub page_bytes_max: usize = 4 * 1024 * 1024, in 65_536..=268_435_456;
        /// Pages of one user that are under way at once, until their readers have taken them.
        pub user_pages_max: usize = 16, in 1..=100_000;
        /// Sockets of the public listener that are open at once, whatever they carry.
        pub sockets_max: usize = 20_000, in 1..=1_000_000;
        /// Authenticated connections (WebSocket and event streams) of all users at once.
        pub connections_max: usize = 16_384, in 1..=1_000_000;
        /// Authenticated connections of one user at once.
        pub user_connections_max: usize = 64, in 1..=100_000;
        /// HTTP requests of one user a second, in the long run.
        pub user_requests_per_second_max: u32 = 200, in 1..=1_000_000;
        /// HTTP requests of one user at once, before the rate counts.
        pub user_requests_burst_max: u32 = 1_000, in 1..=1_000_000;
        /// Frames of one user a second, over all connections, in the long run.
        pub user_frames_per_second_max: u32 = 500, in 1..=1_000_000;
        /// Frames of one user at once, before the rate counts.
        pub user_frames_burst_max: u32 = 5_000, in 1..=1_000_000;
        /// Bytes of one frame from a client; above, the connection closes with 1009.
        pub frame_bytes_max: usize = 512 * 1024, in 4_096..=16_777_216;
        /// Time in which `hello` has to come (CONN-1).
        pub hello_wait_ms_max: u64 = 5_000, in 1..=600_000;
        /// Time that the service takes at most to check a credential and to open a log.
        pub set_up_wait_ms_max: u64 = 10_000, in 1..=600_000;
        /// Time between two pings.
        pub heartbeat_ms: u64 = 25_000, in 1..=600_000;
        /// Time in which a peer has to answer a ping (CONN-5).
        pub pong_wait_ms_max: u64 = 10_000, in 1..=600_000;
        /// Time that a peer may take nothing of what is sent to it (CONN-5).
        pub stall_wait_ms_max: u64 = 30_000, in 1..=600_000;
        /// Bytes for one socket that wait in the operating system to be sent.
        pub unsent_bytes_max: u32 = 128 * 1024, in 4_096..=16_777_216;
        /// Time that readers are given for the last entries at the end of a drain (CONN-6).
        pub leave_wait_ms_max: u64 = 2_000, in 0..=600_000;
        /// Time that a peer is given to take its close frame and to answer it.
        pub farewell_wait_ms_max: u64 = 2_000, in 0..=600_000;
        /// Frames of one connection that cannot be understood; the last closes it with 4400 (CONN-4).
        pub unclear_frames_max: u16 = 16, in 1..=65_535;
        /// Frames that cannot be understood and are forgiven between two pings; 0 forgives none (CONN-4).
        pub unclear_frames_forgiven: u16 = 1, in 0..=65_535;
        /// Time in which a message must be complete once its first byte has come (ISO-6).
        pub message_timeout_ms: u64 = 30_000, in 100..=600_000;
        /// Bytes of a message before `ready`; above, the connection closes with 1009.
        pub unready_message_bytes_max: usize = 16 * 1024, in 1_024..=16_777_216;
        /// Bytes of messages that are not complete, over all connections of one user; above, the connection
        /// closes with 4429. One message of `frame_bytes_max` is always allowed.
        pub user_unfinished_bytes_max: usize = 4 * 1024 * 1024, in 1_024..=1_073_741_824;
        /// Frames of one connection before `ready`, control frames and fragments included; the next one
        /// closes it with 4429.
        pub unready_frames_max: u32 = 32, in 1..=65_535;
        /// Frames of one peer address a second that come before `ready`, over all its connections.
        pub peer_frames_per_second_max: u32 = 500, in 1..=1_000_000;
        /// Refused credentials and refused requests of one peer address a minute; above, its credentials are
        /// answered 429, or 4429, and are not checked. An IPv6 address counts with its /64.
        pub peer_auth_failures_per_minute_max: u32 = 600, in 1..=1_000_000;
        /// Sockets of one peer address at once; never more than three quarters of `sockets_max`, so that no
        /// address takes them all. An IPv6 address counts with its /64, a trusted proxy not at all.
        pub peer_sockets_max: usize = 8_192, in 1..=1_000_000;
        /// Sockets that are not authenticated; never more than half of `sockets_max`. A further one displaces
        /// the oldest of the peer address that has the most.
        pub unauthenticated_sockets_max: usize = 5_000, in 1..=1_000_000;
        /// Peer addresses whose failures and frames are remembered at once; the ones not heard of for longest
        /// are forgotten.
        pub peers_max: usize = 65_536, in 16..=10_000_000;
        /// Frames of one connection beyond its user's rate, between two pings; the last closes it with 4429.
        pub throttled_frames_max: u16 = 64, in 1..=65_535;
        /// Commands of one connection that are carried out at once; further ones wait in its socket.
        pub connection_commands_max: u16 = 16, in 1..=4_096;
        /// Answers to a peer that does not read them; its further frames wait in its socket.
        pub waiting_replies_max: u16 = 32, in 1..=4_096;
        /// Entries that are read at once for one connection or page, and are then on their way to its socket.
        pub chunk_entries_max: usize = 256, in 1..=65_536;
        /// Bytes of entries that are read at once for one connection or page, unless a single entry is longer.
        pub chunk_bytes_max: usize = 32 * 1024, in 1_024..=16_777_216;
        /// Users whose rates are remembered at once; a user is forgotten once idle.
        pub rate_users_max: usize = 100_000, in 1..=10_000_000;
        /// Time that a ticket lives unless its issuer asks otherwise (AUTH-2).
        pub ticket_ttl_ms_default: u64 = 30_000, in 1..=300_000;
        /// Time that a ticket may live at most (AUTH-2).
        pub ticket_ttl_ms_max: u64 = 300_000, in 1..=300_000;
        /// Tickets outstanding of all users.
        pub tickets_max: usize = 100_000, in 1..=10_000_000;
        /// Tickets outstanding of one user.
        pub user_tickets_max: usize = 64, in 1..=100_000;
        /// Bytes of one bearer token.
        pub token_bytes_max: usize = 8 * 1024, in 64..=8_192;
        /// Time that a token may be valid from now on; a token whose `exp` lies further ahead is refused. 0
        /// sets no bound; an `exp` that is not in seconds is refused in any case.
        pub token_lifetime_ms_max: u64 = 0, in 0..=315_360_000_000;
        /// Signatures of tokens by public keys that are checked at once, each on a thread apart from those
        /// that serve.
        pub signature_checks_max: usize = 2, in 1..=1_024;
        /// Tokens that wait for the check of their signature; the next one is answered `unavailable`.
        pub waiting_signature_checks_max: usize = 256, in 1..=100_000;
        /// Clocks of issuer and service may differ by this much when a token's `nbf` is checked;
        /// its `exp` is never stretched (AUTH-3).
        pub clock_skew_ms_max: u64 = 5_000, in 0..=60_000;
        /// Time after which a key set from the JWKS URL is fetched again, in the background.
        pub jwks_fresh_ms_max: u64 = 600_000, in 1_000..=86_400_000;
        /// Time that a key set is used at most while it cannot be fetched again; then every token is
        /// refused, and `/readyz` answers 503 (AUTH-5).
        pub jwks_stale_ms_max: u64 = 3_600_000, in 1_000..=604_800_000;
        /// Time between two fetches of the key set, whatever asks for it.
        pub jwks_refetch_ms_min: u64 = 10_000, in 0..=3_600_000;
        /// Time that one fetch of the key set may take.
        pub jwks_wait_ms_max: u64 = 5_000, in 10..=60_000;
        /// Bytes of a key set.
        pub jwks_bytes_max: usize = 256 * 1024, in 1_024..=16_777_216;
        /// Time that runs are given to come to their end when the service drains (CONN-6).
        pub drain_wait_ms_max: u64 = 20_000, in 0..=3_600_000;
        /// Time that connections are given to take their close frame at the end of a drain.
        pub close_wait_ms_max: u64 = 5_000, in 0..=600_000;
        /// What a client is told to wait before it comes back to a service that drains.
        pub reconnect_after_ms: u64 = 1_000, in 0..=600_000;
    }
}

impl GatewayLimits {
    /// What is read at once for one reader (DEL-4).
    pub fn chunk(&self) -> ReadLimit {
        ReadLimit { entries_max: self.chunk_entries_max, bytes_max: self.chunk_bytes_max }
    }

    /// What the machine of one connection keeps to.
    pub fn connection(&self) -> connection::Limits {
        connection::Limits {
            unclear_frames_max: self.unclear_frames_max,
            unclear_frames_forgiven: self.unclear_frames_forgiven,
            throttled_frames_max: self.throttled_frames_max,
            commands_max: self.connection_commands_max,
            waiting_replies_max: self.waiting_replies_max,
        }
    }

    /// What clients are told of the rest.
    pub fn socket(&self) -> SocketLimits {
        SocketLimits {
            frame_bytes_max: self.frame_bytes_max as u64,
            pong_wait_ms_max: self.pong_wait_ms_max,
            user_connections_max: self.user_connections_max as u64,
            user_frames_per_second_max: self.user_frames_per_second_max.into(),
        }
    }

    pub fn tickets(&self) -> TicketLimits {
        TicketLimits {
            lifetime: Lifetime {
                ttl_ms_default: self.ticket_ttl_ms_default,
                ttl_ms_max: self.ticket_ttl_ms_max,
            },
            outstanding_max: self.tickets_max,
            user_outstanding_max: self.user_tickets_max,
        }
    }
}

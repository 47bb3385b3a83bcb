//! Settings of the gateway. A request over a limit gets `limit_reached`, `rate_limited` or `too_large`; a
//! connection closes with 4429 or 1013.

use crate::{
    journal::ReadLimit,
    kernel::{connection, ticket::Lifetime},
    tickets::TicketLimits,
    wire::server::SocketLimits,
};

quintet_runtime::limits! {
    /// Settings of the public listener.
    pub struct GatewayLimits {
        /// Length of an HTTP request body.
        pub request_body_bytes_max: usize = 512 * 1024, in 1_024..=67_108_864;
        /// Length of an HTTP request head.
        pub request_header_bytes_max: usize = 16 * 1024, in 8_192..=1_048_576;
        /// Timeout for the complete head of a request.
        pub request_header_timeout_ms: u64 = 10_000, in 100..=600_000;
        /// Timeout for the complete body of a request.
        pub request_body_timeout_ms: u64 = 30_000, in 100..=600_000;
        /// Timeout for a whole request, after which the answer is 503 and the outcome is unknown (DEL-7).
        pub request_timeout_ms: u64 = 60_000, in 100..=600_000;
        /// Bytes of the log scanned for one page; the page ends there.
        pub page_bytes_max: usize = 4 * 1024 * 1024, in 65_536..=268_435_456;
        /// Pages of one user that are being sent at once.
        pub user_pages_max: usize = 16, in 1..=100_000;
        /// Exports of one user that are being sent at once.
        pub user_exports_max: usize = 1, in 1..=16;
        /// Open sockets of the public listener, including those upgraded to WebSocket.
        pub sockets_max: usize = 20_000, in 1..=1_000_000;
        /// Authenticated connections (WebSocket and event streams) of all users at once.
        pub connections_max: usize = 16_384, in 1..=1_000_000;
        /// Authenticated connections of one user at once.
        pub user_connections_max: usize = 64, in 1..=100_000;
        /// Sustained HTTP requests of one user per second.
        pub user_requests_per_second_max: u32 = 200, in 1..=1_000_000;
        /// HTTP requests of one user in a burst; the sustained rate refills it.
        pub user_requests_burst_max: u32 = 1_000, in 1..=1_000_000;
        /// Sustained frames of one user per second, over all connections.
        pub user_frames_per_second_max: u32 = 500, in 1..=1_000_000;
        /// Frames of one user in a burst; the sustained rate refills it.
        pub user_frames_burst_max: u32 = 5_000, in 1..=1_000_000;
        /// Length of one frame from a client. A longer one closes the connection with 1009.
        pub frame_bytes_max: usize = 512 * 1024, in 4_096..=16_777_216;
        /// Timeout for the `hello` frame; then the connection closes with 4408 (CONN-1).
        pub hello_timeout_ms: u64 = 5_000, in 1..=600_000;
        /// Timeout for verifying a credential and opening the user's log.
        pub setup_timeout_ms: u64 = 10_000, in 1..=600_000;
        /// Interval between pings.
        pub heartbeat_interval_ms: u64 = 25_000, in 1..=600_000;
        /// Timeout for the pong of a ping; then the connection closes with 4408 (CONN-5).
        pub pong_timeout_ms: u64 = 10_000, in 1..=600_000;
        /// Time in which the socket of a peer accepts no byte; then the connection closes with 4408 (CONN-5).
        pub stall_timeout_ms: u64 = 30_000, in 1..=600_000;
        /// Unsent bytes of one socket in the kernel's send buffer (`TCP_NOTSENT_LOWAT`).
        pub unsent_bytes_max: u32 = 128 * 1024, in 4_096..=16_777_216;
        /// Time to send the last entries to a reader at the end of a drain (CONN-6).
        pub drain_flush_timeout_ms: u64 = 2_000, in 0..=600_000;
        /// Timeout for the closing handshake of a WebSocket.
        pub ws_close_timeout_ms: u64 = 2_000, in 0..=600_000;
        /// Invalid frames of one connection; the last one closes it with 4400 (CONN-4).
        pub invalid_frames_max: u16 = 16, in 1..=65_535;
        /// Invalid frames subtracted from the count at each ping; 0 subtracts none (CONN-4).
        pub invalid_frames_forgiven: u16 = 1, in 0..=65_535;
        /// Timeout for a complete message, from its first byte (ISO-6).
        pub message_timeout_ms: u64 = 30_000, in 100..=600_000;
        /// Length of a message before `ready`. A longer one closes the connection with 1009.
        pub unready_message_bytes_max: usize = 16 * 1024, in 1_024..=16_777_216;
        /// Bytes of incomplete messages over all connections of one user; above, the connection closes with
        /// 4429. One message of `frame_bytes_max` is always allowed.
        pub user_incomplete_bytes_max: usize = 4 * 1024 * 1024, in 1_024..=1_073_741_824;
        /// Frames of one connection before `ready`, including control frames and fragments; the next one
        /// closes it with 4429.
        pub unready_frames_max: u32 = 32, in 1..=65_535;
        /// Frames of one peer address per second before `ready`, over all its connections.
        pub peer_frames_per_second_max: u32 = 500, in 1..=1_000_000;
        /// Refused credentials and refused requests of one peer address per minute; above, its credentials
        /// are not verified and the answer is 429 or 4429. An IPv6 address counts by its /64.
        pub peer_auth_failures_per_minute_max: u32 = 600, in 1..=1_000_000;
        /// Open sockets of one peer address; at most three quarters of `sockets_max`, so that no address
        /// takes them all. An IPv6 address counts by its /64; the address of a trusted proxy does not count.
        pub peer_sockets_max: usize = 8_192, in 1..=1_000_000;
        /// Open sockets that are not authenticated; at most half of `sockets_max`. A further one displaces
        /// the oldest socket of the peer address with the most.
        pub unauthenticated_sockets_max: usize = 5_000, in 1..=1_000_000;
        /// Peer addresses with tracked failures and frames. The least recently seen ones are evicted.
        pub peers_max: usize = 65_536, in 16..=10_000_000;
        /// Frames of one connection over its user's rate between two pings; the last closes it with 4429.
        pub throttled_frames_max: u16 = 64, in 1..=65_535;
        /// Commands of one connection executed at once; further frames stay in the socket.
        pub connection_commands_max: u16 = 16, in 1..=4_096;
        /// Replies queued for a peer that does not read; its further frames stay in the socket.
        pub waiting_replies_max: u16 = 32, in 1..=4_096;
        /// Entries per read for one connection or page, all held in memory until the socket accepts them.
        pub chunk_entries_max: usize = 256, in 1..=65_536;
        /// Bytes per read for one connection or page; a single longer entry is read whole.
        pub chunk_bytes_max: usize = 32 * 1024, in 1_024..=16_777_216;
        /// Users with tracked rates. A user is removed once idle.
        pub rate_users_max: usize = 100_000, in 1..=10_000_000;
        /// Default lifetime of a ticket (AUTH-2).
        pub ticket_ttl_ms_default: u64 = 30_000, in 1..=300_000;
        /// Longest lifetime of a ticket that its issuer can request (AUTH-2).
        pub ticket_ttl_ms_max: u64 = 300_000, in 1..=300_000;
        /// Outstanding tickets of all users.
        pub tickets_max: usize = 100_000, in 1..=10_000_000;
        /// Outstanding tickets of one user.
        pub user_tickets_max: usize = 64, in 1..=100_000;
        /// Length of a bearer token.
        pub token_bytes_max: usize = 8 * 1024, in 64..=8_192;
        /// Longest remaining lifetime of a token; one whose `exp` is later is refused. 0 disables the limit;
        /// an `exp` that is not in seconds is refused in any case.
        pub token_lifetime_ms_max: u64 = 0, in 0..=315_360_000_000;
        /// Public-key signatures of tokens that are verified at once, each on a blocking thread.
        pub signature_checks_max: usize = 2, in 1..=1_024;
        /// Tokens queued for signature verification; the next one gets `unavailable`.
        pub waiting_signature_checks_max: usize = 256, in 1..=100_000;
        /// Tolerated clock difference between issuer and service for a token's `nbf`. It does not extend
        /// `exp` (AUTH-3).
        pub clock_skew_ms_max: u64 = 5_000, in 0..=60_000;
        /// Age at which a key set from the JWKS URL is fetched again in the background.
        pub jwks_refresh_interval_ms: u64 = 600_000, in 1_000..=86_400_000;
        /// Age up to which a key set is used while fetching fails; then every token is refused and `/readyz`
        /// answers 503 (AUTH-5).
        pub jwks_ttl_ms: u64 = 3_600_000, in 1_000..=604_800_000;
        /// Minimum interval between two fetches of the key set, regardless of their cause.
        pub jwks_fetch_interval_ms_min: u64 = 10_000, in 0..=3_600_000;
        /// Timeout for one fetch of the key set.
        pub jwks_fetch_timeout_ms: u64 = 5_000, in 10..=60_000;
        /// Length of a key set.
        pub jwks_bytes_max: usize = 256 * 1024, in 1_024..=16_777_216;
        /// Length of the body of an AG-UI request, which carries the whole conversation. It is in memory until the
        /// response begins; `user_pages_max` limits the requests of one user up to there.
        pub agui_body_bytes_max: usize = 2 * 1024 * 1024, in 1_024..=67_108_864;
        /// Messages, tools and answers of one AG-UI request each.
        pub agui_messages_max: usize = 10_000, in 1..=1_000_000;
        /// Runs of a conversation in the snapshot of an AG-UI stream, the latest ones.
        pub agui_snapshot_runs_max: usize = 50, in 1..=10_000;
        /// Bytes of the log that are read for the earlier runs of a snapshot, which is built in memory.
        pub agui_snapshot_bytes_max: usize = 4 * 1024 * 1024, in 65_536..=268_435_456;
        /// Interval between comments on an AG-UI stream without events, below the idle timeouts of proxies.
        pub agui_heartbeat_interval_ms: u64 = 15_000, in 1..=600_000;
        /// Time without a further entry after which an AG-UI run that waits for its client ends as an interrupt.
        pub agui_settle_ms: u64 = 50, in 0..=10_000;
        /// Time for runs to end or reach a safe point when the service drains (CONN-6).
        pub drain_timeout_ms: u64 = 20_000, in 0..=3_600_000;
        /// Timeout for connections to close at the end of a drain.
        pub drain_close_timeout_ms: u64 = 5_000, in 0..=600_000;
        /// Delay after which clients are asked to reconnect to a draining service.
        pub reconnect_after_ms: u64 = 1_000, in 0..=600_000;
    }
}

impl GatewayLimits {
    /// Returns the bounds of one read for a connection or page (DEL-4).
    pub fn chunk(&self) -> ReadLimit {
        ReadLimit { entries_max: self.chunk_entries_max, bytes_max: self.chunk_bytes_max }
    }

    /// Returns the bounds of the earlier runs in the snapshot of an AG-UI stream.
    #[cfg(feature = "agui-server")]
    pub fn agui_history(&self) -> super::agui::prefix::HistoryLimit {
        super::agui::prefix::HistoryLimit {
            runs_max: self.agui_snapshot_runs_max,
            bytes_max: self.agui_snapshot_bytes_max,
            chunk: self.chunk(),
        }
    }

    /// Returns the limits that the connection state machine enforces.
    pub fn connection(&self) -> connection::ConnectionLimits {
        connection::ConnectionLimits {
            invalid_frames_max: self.invalid_frames_max,
            invalid_frames_forgiven: self.invalid_frames_forgiven,
            throttled_frames_max: self.throttled_frames_max,
            commands_max: self.connection_commands_max,
            waiting_replies_max: self.waiting_replies_max,
        }
    }

    /// Returns the limits outside the state machines that `ready` reports to clients.
    pub fn socket(&self) -> SocketLimits {
        SocketLimits {
            frame_bytes_max: self.frame_bytes_max as u64,
            pong_timeout_ms: self.pong_timeout_ms,
            user_connections_max: self.user_connections_max as u64,
            user_frames_per_second_max: self.user_frames_per_second_max.into(),
        }
    }

    /// Returns the limits of the ticket store.
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

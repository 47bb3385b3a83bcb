//! Upkeep of the journal's disk: measures its free bytes and the size of the journal's files, trims entries
//! past their retention, and has new work refused before the disk is full (ISO-6).
//!
//! Guarantee: the users' machines and `/readyz` use the latest measurement. If the free bytes cannot be
//! measured, nothing is refused in advance, and one WARN is logged.

use std::{sync::Arc, time::Duration};

use super::limits::{DiskLimits, RetentionLimits};
use crate::{
    journal::Journal,
    runtime::{
        clock,
        saturation::{Saturation, Scope},
    },
    user::{
        factory::Factory,
        room::{self, Room},
    },
};

/// Measures the disk's free bytes and passes the result to the users' machines.
pub struct DiskMonitor {
    journal: Arc<dyn Journal>,
    limits: DiskLimits,
    factory: Factory,
    saturation: Saturation,
    /// True if the latest measurement failed.
    is_unknown: bool,
}

impl DiskMonitor {
    /// Creates a monitor, which measures nothing until [`DiskMonitor::look`] or [`DiskMonitor::run`].
    pub fn new(
        journal: Arc<dyn Journal>,
        limits: DiskLimits,
        factory: Factory,
        saturation: Saturation,
    ) -> Self {
        Self { journal, limits, factory, saturation, is_unknown: false }
    }

    /// Measures once.
    pub async fn look(&mut self) {
        match self.journal.free_bytes().await {
            Ok(Some(free)) => {
                self.is_unknown = false;
                metrics::gauge!("quintet_disk_free_bytes").set(free as f64);
                self.set(Room::of(free, self.limits.disk_free_bytes_min));
            }
            Ok(None) => self.set(Room::Enough),
            Err(error) => {
                if !std::mem::replace(&mut self.is_unknown, true) {
                    tracing::warn!(%error, "the free bytes of the disk cannot be measured");
                }
                self.set(Room::Enough);
            }
        }
    }

    /// Measures every `disk_check_interval_ms`, without end.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(Duration::from_millis(self.limits.disk_check_interval_ms)).await;
            self.look().await;
        }
    }

    fn set(&self, room: Room) {
        self.factory.set_room(room);
        self.saturation.measured(room::SETTING, Scope::Service, room != Room::Enough);
    }
}

/// Records the size of the journal's files in the metrics, in bytes.
pub async fn measure(journal: &dyn Journal) {
    match journal.file_sizes().await {
        Ok(Some(sizes)) => {
            metrics::gauge!("quintet_journal_bytes").set(sizes.database as f64);
            metrics::gauge!("quintet_journal_wal_bytes").set(sizes.write_ahead_log as f64);
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the journal's files cannot be measured"),
    }
}

/// Trims entries past their retention every `retention_interval_ms`, without end.
pub async fn trim(journal: Arc<dyn Journal>, limits: RetentionLimits) {
    loop {
        tokio::time::sleep(Duration::from_millis(limits.retention_interval_ms)).await;
        match journal.trim(limits.retention(), clock::now()).await {
            Ok(trimmed) if trimmed.entries > 0 => {
                metrics::counter!("quintet_trimmed_entries_total").increment(trimmed.entries);
                tracing::info!(users = trimmed.users, entries = trimmed.entries, "journal trimmed");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error, "journal not trimmed"),
        }
    }
}

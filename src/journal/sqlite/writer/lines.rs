//! The lines of a batch as rows of bounded size.

use rusqlite::params;

use super::super::fault::WriteError;
use super::Writer;
use crate::{
    Batch,
    chain::ChainHash,
    engine::{checksum, rows},
};

impl Writer {
    /// Stores the lines in rows of bounded size and returns the chain hash after the last.
    pub(super) fn insert_lines(
        &self,
        user: i64,
        mut chain: ChainHash,
        batch: &Batch,
    ) -> Result<ChainHash, WriteError> {
        let mut insert = self.connection()?.prepare_cached(
            "INSERT INTO batches (user, last, first, last_at, chain, checksum, digests, lines)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        for row in rows(chain, batch) {
            chain = row.chain;
            insert.execute(params![
                user,
                row.last.0,
                row.first.0,
                row.last_at.0,
                chain.0,
                checksum(&row.lines),
                row.digests,
                &row.lines[..]
            ])?;
        }
        Ok(chain)
    }
}

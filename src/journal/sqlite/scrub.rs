//! The end of an erasure: what is erased from the tables goes from the files (DEL-8).
//!
//! # What SQLite leaves behind, and where it is removed
//!
//! | remains | in | removed by |
//! |---|---|---|
//! | the old cells, their overflow pages, free blocks, free pages | database | `PRAGMA secure_delete = ON`, in the transaction that deletes or replaces them |
//! | copies of cells in the gap of a page, after a balance moved the cells | database | this module ([`Pages`]) |
//! | what was freed before `secure_delete` was on | database | [`rewrite`](super::rewrite), once, when such a journal is first opened |
//! | the old pages themselves, and later frames of an earlier round of the log | write-ahead log | a checkpoint in the mode `TRUNCATE`, which empties the file, before the search and after it |
//! | – | index of the log (`-shm`) | contains page numbers only |
//! | – | temporary files | none: `temp_store = MEMORY`, and a write-ahead log needs no rollback journal |
//!
//! `VACUUM` would do the same for the database file, but it writes the whole file again while nothing else can be
//! written (ISO-6). An incremental vacuum returns free pages to the file system, which are zero already, and does not
//! touch the gaps. So the file is searched page by page instead, and only gaps with remains are overwritten.
//!
//! # Why the search is complete
//!
//! The search begins when no row has the text any more and a checkpoint has brought all of the log to the file. From
//! then on SQLite copies cells only, and no cell has the text; the gap of a page changes by being covered or zeroed. So a
//! page that the search finds clean stays clean, also if it is written from the log later. A page with remains is
//! cleaned by the writer thread: it empties the log, overwrites the gap in the file, and drops its page cache, from which
//! the remains could be written again. Pages that are added later have no remains.
//!
//! Searches are shared: the position moves around the file, and an erasure is complete when it has moved around once
//! since. So many erasures at a time cost as much as one.
//!
//! What is not reached: copies that the file system or the device keeps of overwritten blocks (snapshots, wear levelling).

use std::{collections::HashMap, fs::File, sync::Arc};

use quintet_kernel::ids::ReceiptId;
use tokio::sync::Mutex;

use super::{options::SCRUB_PAGES_MAX, pages::Pages};
use crate::JournalError;

/// The search for remains of erased entries.
pub(super) struct Scrub {
    pub(super) pages: Arc<Pages>,
    pub(super) rounds: Mutex<Rounds>,
}

/// The position of the search, and the erasures that wait for it.
#[derive(Debug)]
pub(super) struct Rounds {
    at: Place,
    /// For each erasure, the place at which it joined.
    joined: HashMap<ReceiptId, Place>,
    /// Pages with remains that are not yet overwritten.
    dirty: Vec<u32>,
}

/// A place in the search: the round, and the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    round: u64,
    page: u32,
}

impl Scrub {
    pub(super) fn new(database: File) -> Self {
        let at = Place { round: 0, page: 1 };
        let rounds = Rounds { at, joined: HashMap::new(), dirty: Vec::new() };
        Self { pages: Arc::new(Pages::new(database)), rounds: Mutex::new(rounds) }
    }

    /// Searches the next pages and adds those with remains to the list of dirty ones.
    pub(super) async fn search(&self, rounds: &mut Rounds) -> Result<(), JournalError> {
        let (pages, first) = (self.pages.clone(), rounds.at.page);
        let scanned = tokio::task::spawn_blocking(move || pages.scan(first, SCRUB_PAGES_MAX)).await;
        let scan = scanned
            .map_err(|error| JournalError::Unavailable(format!("the search for remains failed: {error}")))?
            .map_err(|error| JournalError::Unavailable(format!("the search for remains failed: {error}")))?;
        rounds.dirty.extend(scan.dirty);
        rounds.at = match scan.next {
            Some(page) => Place { page, ..rounds.at },
            None => Place { round: rounds.at.round + 1, page: 1 },
        };
        Ok(())
    }
}

impl Rounds {
    /// Returns true if the erasure has joined the search.
    pub(super) fn has(&self, receipt: ReceiptId) -> bool {
        self.joined.contains_key(&receipt)
    }

    /// Lets an erasure join the search at the present place. The log must be empty.
    pub(super) fn join(&mut self, receipt: ReceiptId) {
        self.joined.insert(receipt, self.at);
    }

    /// Returns true if the search has moved around the file once since the erasure joined.
    pub(super) fn is_round(&self, receipt: ReceiptId) -> bool {
        let around = |from: &Place| self.at >= Place { round: from.round + 1, page: from.page };
        self.joined.get(&receipt).is_some_and(around)
    }

    pub(super) fn leave(&mut self, receipt: ReceiptId) {
        self.joined.remove(&receipt);
    }

    /// Returns the pages to overwrite.
    pub(super) fn dirty(&self) -> Vec<u32> {
        self.dirty.clone()
    }

    pub(super) fn cleaned(&mut self) {
        self.dirty.clear();
    }
}

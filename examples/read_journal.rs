//! Audits a journal and prints the log of one user, without a service.
//!
//! ```text
//! cargo run --example read_journal -- ./quintet-data ada
//! ```
//!
//! The journal must not be in use. A backup of it can be read at any time:
//! `quintet backup --data-dir ./quintet-data --to ./copy`.

use std::{error::Error, path::PathBuf};

use quintet::{
    audit::{AuditOptions, audit},
    journal::{
        Journal, ReadLimit,
        sqlite::{SqliteJournal, SqliteOptions},
    },
    kernel::ids::{Offset, UserId},
    wire::entry::decode,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(user)) = (arguments.next(), arguments.next()) else {
        return Err("usage: read_journal FOLDER USER_ID".into());
    };
    let (folder, user_id) = (PathBuf::from(folder), UserId::parse(&user)?);

    // Checks every rule that a journal can show, by code that is independent of the service.
    let report = audit(&folder, &AuditOptions { user_id: Some(user_id.clone()), ..AuditOptions::default() })?;
    print!("{report}");

    let journal = SqliteJournal::open(&folder, SqliteOptions::default())?;
    let log = journal.log(&user_id);
    let page = ReadLimit { entries_max: 1_000, bytes_max: 1_000_000 };
    let mut cursor = Offset(0);
    loop {
        let lines = log.read(cursor, page).await?;
        if lines.is_empty() {
            break;
        }
        for (offset, line) in lines.iter() {
            let (_, entry) = decode(&line)?;
            println!("{offset}\t{}\t{}", entry.timestamp().0, String::from_utf8_lossy(&line));
        }
        cursor = lines.last();
    }
    journal.close().await?;
    if report.is_clean() { Ok(()) } else { Err("the journal violates rules".into()) }
}

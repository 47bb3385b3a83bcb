//! The index of threads: titles, archived threads, open runs, and look-ups whose cost does not depend on the length of
//! a thread.

use quintet::{
    journal::{
        Retention, Side, ThreadRecord, ThreadsQuery,
        sqlite::{
            SqliteJournal, SqliteOptions,
            schema::{self, DATABASE_FILE},
        },
    },
    kernel::{
        entry::RunStatus,
        ids::{Offset, Timestamp},
    },
};
use tempfile::TempDir;

use crate::support::{LogWriter, engines, latest, run, thread, user};

fn names(threads: &[ThreadRecord]) -> Vec<&str> {
    threads.iter().map(|thread| thread.thread_id.as_str()).collect()
}

#[tokio::test]
async fn latest_thread_updated_is_in_the_record_and_leaves_the_order() {
    for engine in engines().await {
        let name = engine.name;
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").whole_run(2, "u").append(&log).await;
        let before = log.thread(&thread("t")).await.unwrap().unwrap();
        assert_eq!((before.title, before.archived, before.updated), (None, false, Offset::ZERO), "{name}");
        log_writer.updated("t", Some("first"), true).updated("t", Some("second"), false).append(&log).await;
        let named = log.thread(&thread("t")).await.unwrap().unwrap();
        assert_eq!(named.title.as_ref().map(|title| title.as_str()), Some("second"), "{name}");
        assert_eq!((named.archived, named.updated, named.last), (false, Offset(12), before.last), "{name}");
        assert_eq!(names(&log.threads(latest(9)).await.unwrap()), ["u", "t"], "{name}");
        log_writer.updated("t", None, true).append(&log).await;
        let archived = log.thread(&thread("t")).await.unwrap().unwrap();
        assert_eq!((archived.title, archived.archived), (None, true), "{name}");
        // A thread that does not exist is not created by a change.
        log_writer.updated("gone", Some("x"), false).append(&log).await;
        assert_eq!(log.thread(&thread("gone")).await.unwrap(), None, "{name}");
        assert_eq!(
            engine.journal.log(&user("bob")).thread(&thread("t")).await.unwrap(),
            None,
            "{name}: ISO-2"
        );
    }
}

#[tokio::test]
async fn threads_are_found_by_archived_and_position() {
    for engine in engines().await {
        let name = engine.name;
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        for number in 1..=6 {
            log_writer.whole_run(number, &format!("t{number}"));
        }
        log_writer.updated("t2", None, true).updated("t5", Some("five"), true).append(&log).await;
        let find = async |before, archived, limit| {
            let found = log.threads(ThreadsQuery { before, archived, limit }).await.unwrap();
            names(&found).into_iter().map(str::to_owned).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(find(None, None, 9).await, "t6 t5 t4 t3 t2 t1", "{name}");
        assert_eq!(find(None, Some(false), 9).await, "t6 t4 t3 t1", "{name}");
        assert_eq!(find(None, Some(true), 9).await, "t5 t2", "{name}");
        assert_eq!(find(None, Some(true), 1).await, "t5", "{name}");
        assert_eq!(find(Some(Offset(25)), Some(true), 9).await, "t2", "{name}");
        assert_eq!(find(Some(Offset(25)), Some(false), 2).await, "t4 t3", "{name}");
        assert_eq!(find(Some(Offset::ZERO), None, 9).await, "", "{name}");
        assert_eq!(find(Some(Offset(u64::MAX)), None, usize::MAX).await, "t6 t5 t4 t3 t2 t1", "{name}");
    }
}

#[tokio::test]
async fn record_has_the_open_runs_the_agent_and_the_first_stored_message() {
    for engine in engines().await {
        let name = engine.name;
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").append(&log).await;
        log_writer.whole_run(2, "t").append(&log).await;
        let idle = log.thread(&thread("t")).await.unwrap().unwrap();
        assert_eq!((idle.open_runs, idle.open_run, idle.first_message), (0, None, Offset(1)), "{name}");
        assert_eq!(idle.agent_name.unwrap().as_str(), "assistant", "{name}");
        engine
            .journal
            .trim(Retention { user_entries_max: Some(5), ..Retention::default() }, Timestamp(0))
            .await
            .unwrap();
        let trimmed = log.thread(&thread("t")).await.unwrap().unwrap();
        assert_eq!(
            (trimmed.first, trimmed.first_message, trimmed.messages),
            (Offset(1), Offset(6), 2),
            "{name}"
        );
        log_writer
            .message(3, "t", "m3")
            .started(3, "m3")
            .message(4, "t", "m4")
            .message(5, "u", "m5")
            .append(&log)
            .await;
        let busy = log.thread(&thread("t")).await.unwrap().unwrap();
        assert_eq!((busy.open_runs, busy.open_run), (2, Some(run(3))), "{name}");
        assert_eq!(log.threads(latest(9)).await.unwrap()[1], busy, "{name}");
        log_writer.completed(3, RunStatus::Failed).append(&log).await;
        let after = log.thread(&thread("t")).await.unwrap().unwrap();
        assert_eq!((after.open_runs, after.open_run), (1, Some(run(4))), "{name}");
        engine
            .journal
            .trim(Retention { user_entries_max: Some(0), ..Retention::default() }, Timestamp(0))
            .await
            .unwrap();
        assert!(log.thread(&thread("t")).await.unwrap().unwrap().first_message > Offset(6), "{name}");
    }
}

#[tokio::test]
async fn runs_of_a_thread_are_found_backwards() {
    for engine in engines().await {
        let name = engine.name;
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        for number in 1..=6 {
            log_writer.whole_run(number, if number % 2 == 0 { "even" } else { "odd" });
        }
        log_writer.append(&log).await;
        let find = async |before: Option<u64>, limit| {
            let runs = log.thread_runs_before(&thread("even"), before.map(Offset), limit).await.unwrap();
            runs.iter().map(|run| run.accepted.0).collect::<Vec<_>>()
        };
        assert_eq!(find(None, 9).await, [26, 16, 6], "{name}");
        assert_eq!(find(None, 2).await, [26, 16], "{name}");
        assert_eq!(find(Some(26), 2).await, [16, 6], "{name}");
        assert_eq!(find(Some(6), 9).await, [0; 0], "{name}");
        assert_eq!(find(Some(0), 9).await, [0; 0], "{name}");
        assert_eq!(find(Some(u64::MAX), usize::MAX).await, [26, 16, 6], "{name}");
        assert_eq!(log.thread_runs_before(&thread("none"), None, 9).await.unwrap(), [], "{name}");
        let bob = engine.journal.log(&user("bob"));
        assert_eq!(bob.thread_runs_before(&thread("even"), None, 9).await.unwrap(), [], "{name}: ISO-2");
    }
}

fn numbers(offsets: &[Offset]) -> Vec<u64> {
    offsets.iter().map(|offset| offset.0).collect()
}

#[tokio::test]
async fn changes_of_a_thread_are_found_on_each_side_of_an_offset() {
    for engine in engines().await {
        let name = engine.name;
        let mut log_writer = LogWriter::new("ann");
        let log = engine.journal.log(&log_writer.user_id);
        log_writer.whole_run(1, "t").updated("t", Some("one"), false).whole_run(2, "u").append(&log).await;
        log_writer.updated("u", Some("x"), false).updated("t", None, true).append(&log).await;
        log_writer.whole_run(3, "t").updated("t", Some("two"), false).append(&log).await;
        let find = async |side, limit| numbers(&log.thread_changes(&thread("t"), side, limit).await.unwrap());
        assert_eq!(find(Side::After(Offset::ZERO), 9).await, [6, 13, 19], "{name}");
        assert_eq!(find(Side::After(Offset(6)), 1).await, [13], "{name}");
        assert_eq!(find(Side::After(Offset(u64::MAX)), 9).await, [0; 0], "{name}");
        assert_eq!(find(Side::Before(Offset(u64::MAX)), usize::MAX).await, [19, 13, 6], "{name}");
        assert_eq!(find(Side::Before(Offset(19)), 1).await, [13], "{name}");
        assert_eq!(find(Side::Before(Offset(6)), 9).await, [0; 0], "{name}");
        let bob = engine.journal.log(&user("bob"));
        let side = Side::After(Offset::ZERO);
        assert_eq!(bob.thread_changes(&thread("t"), side, 9).await.unwrap(), [], "{name}: ISO-2");
        let keep = Retention { user_entries_max: Some(8), ..Retention::default() };
        engine.journal.trim(keep, Timestamp(0)).await.unwrap();
        assert_eq!(find(side, 9).await, [13, 19], "{name}: 11 entries are trimmed");
    }
}

/// ISO-6: a query of the list of threads, or of the latest runs of one, reads no row that it does not return. The planner
/// of SQLite states which rows a query visits: all of a table or of an index (`SCAN`), or those that a key leads to.
#[tokio::test]
async fn iso_6_no_query_of_threads_scans_a_table_or_sorts() {
    let folder = TempDir::new().unwrap();
    drop(SqliteJournal::open(folder.path(), SqliteOptions::default()).unwrap());
    let connection = schema::open_to_read(&folder.path().join(DATABASE_FILE)).unwrap();
    let mut plans = 0;
    for source in [
        include_str!("../../src/journal/sqlite/threads.rs"),
        include_str!("../../src/journal/sqlite/reader.rs"),
        include_str!("../../src/journal/sqlite/thread_changes.rs"),
    ] {
        let source = source.replace(
            "select!(\"",
            "\"SELECT * FROM users CROSS JOIN threads ON threads.user = users.id WHERE users.user_id = ?1 ",
        );
        for query in
            source.split('"').filter(|text| text.trim_start().starts_with("SELECT ") && text.contains("?1"))
        {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
            let parameters = plan.parameter_count();
            let mut rows = plan.query(rusqlite::params_from_iter(vec![1; parameters])).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let step: String = row.get(3).unwrap();
                assert!(!step.contains("SCAN") && !step.contains("TEMP B-TREE"), "{step}: {query}");
            }
            plans += 1;
        }
    }
    assert!(plans > 10, "{plans} queries were examined");
}

//! The server, or the process of the journal, is killed while it writes. Everything that was acknowledged is there
//! afterwards, once.

use quintet::{
    journal::{AppendError, Journal, JournalError, Log},
    kernel::ids::Offset,
};
use tokio::sync::watch;

use super::{shared::verify, *};
use crate::{
    killed::{USERS, kill_after, whole_log, write_without_end},
    support::{EVERYTHING, LogWriter, texts, user},
};

const ADDRESS: &str = "POSTGRES_CRASH_ADDRESS";

/// Not a test of its own: the process that is killed. Prints the acknowledged offsets.
#[tokio::test]
#[ignore = "the child of another test"]
async fn child_that_writes_until_it_is_killed() {
    let journal = PostgresJournal::open(hasty(&std::env::var(ADDRESS).unwrap())).await.unwrap();
    write_without_end(&journal).await;
}

#[tokio::test]
async fn del_5_acknowledged_entries_survive_a_kill_of_the_process() {
    let Some(address) = schema().await else { return };
    for (round, lines) in [1usize, 20, 200].into_iter().enumerate() {
        let child = "postgres::kills::child_that_writes_until_it_is_killed";
        let acknowledged = kill_after(lines, child, (ADDRESS, &address));
        let journal = PostgresJournal::open(hasty(&address)).await.unwrap();
        for (i, acknowledged) in acknowledged.into_iter().enumerate() {
            let name = format!("user{i}");
            let log = journal.log(&user(&name));
            let head = log.recovery(1).await.unwrap().head.0;
            assert!(head >= acknowledged, "round {round}: user {i} lost acknowledged entries");
            whole_log(&log, head).await;
            if head > 0 {
                verify(&address, journal.epoch(), &name).await;
            }
        }
        journal.close().await.unwrap();
    }
}

/// The server is killed and, once an append has met that, started again under load. A writer reads its log back after each append of unknown outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn del_7_no_acknowledged_entry_is_lost_or_doubled_by_kills_of_the_server() {
    let Some(server) = Server::start() else { return };
    let mut options = hasty(&server.address());
    options.limits.postgres_append_timeout_ms = 5_000;
    options.limits.postgres_lease_ms = 60_000;
    let journal = PostgresJournal::open(options).await.unwrap();
    let (progress, seen) = watch::channel(Progress::default());
    let writers = (0..USERS).map(|i| {
        let log = journal.log(&user(&format!("user{i}")));
        let (progress, mut seen) = (&progress, seen.clone());
        async move {
            let mut stored = Vec::new();
            while !seen.borrow_and_update().over {
                let mut log_writer = LogWriter::new(&format!("user{i}"));
                log_writer.head = Offset(stored.len() as u64);
                let batch = log_writer.whole_run(stored.len() as u64 + 1, "t").batch();
                match log.append(batch.clone()).await {
                    Ok(()) => stored.extend(texts(&batch.lines)),
                    Err(AppendError::Journal(JournalError::Unavailable(_))) => {
                        progress.send_modify(|progress| progress.interrupted += 1);
                        let head = settled(&log).await;
                        if head == log_writer.head {
                            stored.extend(texts(&batch.lines));
                        }
                        assert_eq!(head.0, stored.len() as u64, "a part of a batch, or an acknowledged one");
                    }
                    Err(error) => panic!("{error}"),
                }
                progress.send_modify(|progress| progress.appended += 1);
            }
            stored
        }
    });
    let kills = async {
        let mut progressed = seen.clone();
        for _ in 0..4 {
            let aim = progressed.borrow_and_update().appended + 60;
            progressed.wait_for(|progress| progress.appended >= aim).await.unwrap();
            server.kill();
            let before = progressed.borrow_and_update().interrupted;
            progressed.wait_for(|progress| progress.interrupted > before).await.unwrap();
            server.again();
        }
        let aim = progressed.borrow_and_update().appended + 60;
        progressed.wait_for(|progress| progress.appended >= aim).await.unwrap();
        progress.send_modify(|progress| progress.over = true);
    };
    let (written, ()) = tokio::join!(futures::future::join_all(writers), kills);
    for (i, stored) in written.into_iter().enumerate() {
        let name = format!("user{i}");
        let log = journal.log(&user(&name));
        let lines = log.read(Offset::ZERO, EVERYTHING).await.unwrap();
        assert_eq!(texts(&lines), stored, "{name}");
        whole_log(&log, stored.len() as u64).await;
        verify(&server.address(), journal.epoch(), &name).await;
    }
}

/// What the writers have done so far.
#[derive(Default)]
struct Progress {
    appended: usize,
    interrupted: usize,
    over: bool,
}

async fn settled(log: &std::sync::Arc<dyn Log>) -> Offset {
    loop {
        match log.recovery(1).await {
            Ok(recovery) => return recovery.head,
            Err(JournalError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

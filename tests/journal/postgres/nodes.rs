//! Nodes that share a database: their leases, by the clock of the database, and what a node without one may do.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use quintet::{
    journal::{AppendError, Batch, Fence, Journal, JournalError, lines::LinesBuilder},
    kernel::ids::{Incarnation, Offset},
};
use quintet_postgres::OpenError;
use uuid::Uuid;

use super::*;
use crate::support::{LogWriter, run, user};

const ADDRESS: &str = "POSTGRES_NODE_ADDRESS";
/// Longest wait for an event.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Opens the journal of a node whose lease is short.
async fn node(address: &str) -> PostgresJournal {
    let mut options = PostgresOptions { exclusive: false, ..hasty(address) };
    options.limits.postgres_lease_ms = 3_000;
    options.limits.postgres_renewal_interval_ms = 500;
    options.limits.postgres_lease_margin_ms = 300;
    PostgresJournal::open(options).await.unwrap()
}

/// Opens the journal of a node that renews its lease seldom.
async fn patient_node(address: &str) -> PostgresJournal {
    let mut options = PostgresOptions { exclusive: false, ..PostgresOptions::new(address) };
    options.limits.postgres_lease_ms = 600_000;
    options.limits.postgres_renewal_interval_ms = 200_000;
    PostgresJournal::open(options).await.unwrap()
}

/// Returns the result of a query of one value.
async fn ask<T: for<'a> tokio_postgres::types::FromSql<'a>>(address: &str, query: &str) -> T {
    client(address).await.query_one(query, &[]).await.unwrap().get(0)
}

/// Waits until a query returns true, by asking again.
async fn becomes(address: &str, query: &str) {
    let client = client(address).await;
    let asked = async { while !client.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {} };
    tokio::time::timeout(WAIT_MAX, asked).await.expect(query);
}

/// Ends the lease of a node by the clock of the database. The node does not know of it.
async fn expire(address: &str, node: Incarnation) {
    execute(address, &format!("UPDATE nodes SET lease_until = now() WHERE incarnation = '{}'", node.0)).await;
}

#[tokio::test]
async fn run_13_a_node_has_expired_by_the_clock_of_the_database_and_stays_so() {
    let Some(address) = schema().await else { return };
    let (a, b) = (patient_node(&address).await, patient_node(&address).await);
    let unknown = Incarnation(Uuid::from_u128(1));
    let all = BTreeSet::from([a.incarnation(), b.incarnation(), unknown]);
    assert!(a.is_shared());
    assert_eq!(a.expired(&all).await.unwrap(), BTreeSet::from([unknown]));
    expire(&address, b.incarnation()).await;
    let expired = BTreeSet::from([b.incarnation(), unknown]);
    assert_eq!(a.expired(&all).await.unwrap(), expired);
    // The clock of the database goes back: a node that was seen as expired has no row any more.
    execute(&address, "UPDATE nodes SET lease_until = now() + interval '1 hour'").await;
    assert_eq!(a.expired(&all).await.unwrap(), expired);
    let refused = b.expired(&all).await;
    assert!(refused.is_ok(), "it does not know yet: {refused:?}");
}

/// The renewal of the lease is being committed while another node asks.
#[tokio::test]
async fn run_13_a_renewal_in_progress_counts_before_a_node_is_seen_as_expired() {
    let Some(address) = schema().await else { return };
    let (a, b) = (patient_node(&address).await, patient_node(&address).await);
    expire(&address, b.incarnation()).await;
    let renewal = Lock::take(&address, "UPDATE nodes SET lease_until = now() + interval '1 hour'").await;
    let asked = BTreeSet::from([b.incarnation()]);
    let commits = async {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                                    AND query LIKE 'DELETE FROM nodes WHERE incarnation = ANY%')";
        becomes(&address, waits).await;
        renewal.keep().await;
    };
    let (expired, ()) = tokio::join!(a.expired(&asked), commits);
    assert_eq!(expired.unwrap(), BTreeSet::new());
}

/// A node that does not know of the end of its lease: the statement of its append does.
#[tokio::test]
async fn node_2_append_of_a_node_without_a_lease_is_refused_by_its_statement() {
    let Some(address) = schema().await else { return };
    let (a, b) = (patient_node(&address).await, patient_node(&address).await);
    let mut ann = LogWriter::new("ann");
    ann.whole_run(1, "t").append_to(&b).await;
    expire(&address, b.incarnation()).await;
    assert!(b.holds_lease(), "its last renewal was for ten minutes");
    let refused = b.log(&ann.user_id).append(ann.clone().whole_run(9, "t").batch()).await;
    assert!(matches!(refused, Err(AppendError::Journal(JournalError::Unavailable(_)))), "{refused:?}");
    assert!(!b.holds_lease());
    b.lease_lost().await;
    assert!(matches!(b.probe().await, Err(JournalError::Unavailable(_))), "it is not ready");
    ann.whole_run(2, "t").append_to(&a).await;
    // A further opening is another node.
    let again = patient_node(&address).await;
    assert_ne!(again.incarnation(), b.incarnation());
    ann.whole_run(3, "t").append_to(&again).await;
    assert!(matches!(b.expired(&BTreeSet::new()).await, Err(JournalError::Unavailable(_))));
}

/// The database answers no renewal: the node gives its lease up while the database still has it.
#[tokio::test]
async fn node_2_lease_that_is_not_renewed_is_given_up_before_it_expires_in_the_database() {
    let Some(address) = schema().await else { return };
    let mut options = PostgresOptions { exclusive: false, ..hasty(&address) };
    options.limits.postgres_lease_ms = 5_000;
    options.limits.postgres_lease_margin_ms = 4_000;
    let journal = PostgresJournal::open(options).await.unwrap();
    LogWriter::new("ann").whole_run(1, "t").append_to(&journal).await;
    let lock = Lock::take(&address, "SELECT FROM nodes FOR UPDATE").await;
    journal.lease_lost().await;
    assert!(!journal.holds_lease());
    let live = "SELECT count(*) FROM nodes WHERE lease_until > now()";
    assert_eq!(ask::<i64>(&address, live).await, 1, "no other node may take its runs over yet");
    lock.undo().await;
    // The renewals that waited extend the lease in vain.
    assert!(!journal.holds_lease());
    let refused = journal.log(&user("ann")).append(LogWriter::new("ann").whole_run(2, "t").batch()).await;
    assert!(matches!(refused, Err(AppendError::Journal(JournalError::Unavailable(_)))), "{refused:?}");
}

/// A process that is stopped past its lease and goes on later. Its runs have been taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_3_a_process_that_was_stopped_past_its_lease_is_no_node_any_more() {
    let Some(address) = schema().await else { return };
    let survivor = node(&address).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "postgres::nodes::child_that_is_a_node", "--ignored", "--nocapture"])
        .env(ADDRESS, &address)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let of = |line: &str, word: &str| line.split_once(word).map(|(_, rest)| rest.trim().to_owned());
    let zombie = output.find_map(|line| of(&line, "incarnation=")).unwrap();
    let zombie = Incarnation(zombie.parse().unwrap());
    output.by_ref().filter(|line| line.contains("acknowledged")).take(20).for_each(drop);
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    let asked = BTreeSet::from([zombie]);
    assert_eq!(survivor.expired(&asked).await.unwrap(), BTreeSet::new(), "its lease lasts");
    let expires = async { while survivor.expired(&asked).await.unwrap().is_empty() {} };
    tokio::time::timeout(WAIT_MAX, expires).await.unwrap();
    // The run that it had begun.
    let (bob, ann) = (survivor.log(&user("bob")), survivor.log(&user("ann")));
    let lines = LinesBuilder::new(Offset(3)).finish();
    let taken_over = vec![run(1)];
    let executor = Some(survivor.incarnation());
    bob.append(Batch { executor, taken_over, ..Batch::new(Offset(2), vec![], lines) }).await.unwrap();
    let head = ann.recovery(1).await.unwrap().head;
    signal("-CONT");
    let rest: Vec<String> = output.collect();
    assert!(child.wait().unwrap().success());
    assert!(rest.iter().any(|line| line.contains("refused")), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("lost")), "{rest:?}");
    assert_eq!(ann.extent().await.unwrap().head, head, "nothing was appended after the lease");
    let (position, record) = (bob.position().await.unwrap(), bob.run(run(1)).await.unwrap().unwrap());
    assert_eq!((position.head, position.fence, record.executor), (Offset(2), Fence(1), executor));
}

/// Not a test of its own: the process that is stopped.
#[tokio::test]
#[ignore = "the child of another test"]
async fn child_that_is_a_node() {
    let journal = node(&std::env::var(ADDRESS).unwrap()).await;
    let print = |line: String| writeln!(std::io::stdout().lock(), "{line}").unwrap();
    let mut bob = LogWriter::new("bob");
    let begun = bob.message(1, "t", "m1").started(1, "m1").batch();
    let executor = Some(journal.incarnation());
    journal.log(&bob.user_id).append(Batch { executor, ..begun }).await.unwrap();
    print(format!("incarnation={}", journal.incarnation().0));
    let mut ann = LogWriter::new("ann");
    let log = journal.log(&ann.user_id);
    for number in 1.. {
        match log.append(ann.whole_run(number, "t").batch()).await {
            Ok(()) => print(format!("acknowledged {number}")),
            Err(error) => {
                print(format!("refused: {error}"));
                break;
            }
        }
    }
    journal.lease_lost().await;
    assert!(!journal.holds_lease());
    print("lost".to_owned());
}

/// The users that any node may take over: those with an open run of a node that has expired.
#[tokio::test]
async fn node_3_open_runs_of_expired_nodes_are_found_by_each_node() {
    let Some(address) = schema().await else { return };
    let nodes = [patient_node(&address).await, patient_node(&address).await, patient_node(&address).await];
    for (number, node) in nodes.iter().enumerate() {
        for user in ["a", "b"] {
            let mut log_writer = LogWriter::new(&format!("{user}{number}"));
            let log = node.log(&log_writer.user_id);
            log_writer.whole_run(9, "t").append(&log).await;
            let begun = log_writer.message(1, "t", "m1").started(1, "m1").message(2, "t", "m2").batch();
            log.append(Batch { executor: Some(node.incarnation()), ..begun }).await.unwrap();
        }
    }
    assert_eq!(nodes[0].abandoned(9).await.unwrap(), []);
    expire(&address, nodes[1].incarnation()).await;
    let found: BTreeSet<_> = nodes[0].abandoned(9).await.unwrap().into_iter().collect();
    assert_eq!(found, BTreeSet::from([user("a1"), user("b1")]));
    assert_eq!(nodes[0].abandoned(1).await.unwrap().len(), 1, "within the limit");
    expire(&address, nodes[2].incarnation()).await;
    let gone = BTreeSet::from([nodes[1].incarnation(), nodes[2].incarnation()]);
    assert_eq!(nodes[0].expired(&gone).await.unwrap(), gone);
    assert_eq!(nodes[0].abandoned(9).await.unwrap().len(), 4);
    // A message that waits although nothing of its thread runs.
    let mut cay = LogWriter::new("cay");
    cay.message(1, "t", "m1").append_to(&nodes[0]).await;
    execute(&address, "UPDATE runs SET accepted_at = 0 WHERE message_id = 'm1'").await;
    assert_eq!(nodes[0].abandoned(9).await.unwrap().len(), 5);
}

/// Each node removes those that have expired, with the rows of their writers.
#[tokio::test]
async fn expired_nodes_are_swept() {
    let Some(address) = schema().await else { return };
    let gone = patient_node(&address).await;
    LogWriter::new("ann").whole_run(1, "t").append_to(&gone).await;
    let _sweeper = node(&address).await;
    becomes(&address, "SELECT count(*) = 2 FROM nodes").await;
    expire(&address, gone.incarnation()).await;
    becomes(&address, "SELECT count(*) = 1 FROM nodes").await;
    let orphans = "SELECT count(*) = 0 FROM writers WHERE holder NOT IN (SELECT incarnation FROM nodes)";
    becomes(&address, orphans).await;
}

#[tokio::test]
async fn process_that_needs_the_database_for_itself_and_nodes_exclude_each_other() {
    let Some(address) = schema().await else { return };
    let first = node(&address).await;
    let second = node(&address).await;
    second.close().await.unwrap();
    let refused = PostgresJournal::open(hasty(&address)).await.err();
    assert!(matches!(refused, Some(OpenError::Claimed { .. })), "{refused:?}");
    first.close().await.unwrap();
    let alone = PostgresJournal::open(hasty(&address)).await.unwrap();
    let refused = PostgresJournal::open(PostgresOptions { exclusive: false, ..hasty(&address) }).await.err();
    assert!(matches!(refused, Some(OpenError::Claimed { .. })), "{refused:?}");
    assert!(alone.holds_lease());
    assert_eq!(
        alone.expired(&BTreeSet::from([first.incarnation(), alone.incarnation()])).await.unwrap(),
        BTreeSet::from([first.incarnation()])
    );
}

#[tokio::test]
async fn lease_that_cannot_be_renewed_twice_is_refused() {
    let mut options = hasty("postgres://nobody@localhost/none");
    options.limits.postgres_renewal_interval_ms = 500;
    let refused = PostgresJournal::open(options).await.err();
    assert!(matches!(refused, Some(OpenError::ShortLease { least_ms: 1_100 })), "{refused:?}");
}

/// A database of the first schema, whose process still holds its claim.
#[tokio::test]
async fn claim_of_the_first_schema_becomes_a_lease() {
    let Some(address) = schema().await else { return };
    open(&address).await.close().await.unwrap();
    let claim = "DROP TABLE nodes; DROP INDEX runs_by_executor;
        CREATE TABLE claim (one boolean PRIMARY KEY DEFAULT true CHECK (one), holder uuid NOT NULL,
                            expires_at timestamptz NOT NULL);
        INSERT INTO claim (holder, expires_at) VALUES (gen_random_uuid(), now() + interval '1 hour');
        UPDATE meta SET value = '1' WHERE name = 'version'";
    execute(&address, claim).await;
    let migrated = "SELECT to_regclass('nodes') IS NOT NULL";
    tokio::select! {
        opened = PostgresJournal::open(hasty(&address)) => panic!("the claim lasts: {:?}", opened.err()),
        () = becomes(&address, migrated) => {}
    }
    let kept = "SELECT count(*) FROM nodes WHERE exclusive AND lease_until > now() + interval '50 minutes'";
    assert_eq!(ask::<i64>(&address, kept).await, 1);
    execute(&address, "UPDATE nodes SET lease_until = now()").await;
    let mut ann = LogWriter::new("ann");
    ann.whole_run(1, "t").append_to(&open(&address).await).await;
}

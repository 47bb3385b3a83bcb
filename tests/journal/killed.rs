//! A process that writes to a journal until it is killed, and the checks of the log that is left.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
};

use quintet::{
    journal::{Journal, Log},
    kernel::ids::Offset,
};

use crate::support::{EVERYTHING, LogWriter, offsets, run};

/// The users of the process, `user0` and so on.
pub const USERS: usize = 4;

/// Appends runs for each user without end, and prints the acknowledged offsets.
pub async fn write_without_end(journal: &impl Journal) {
    let writers = (0..USERS).map(|i| {
        let mut log_writer = LogWriter::new(&format!("user{i}"));
        let log = journal.log(&log_writer.user_id);
        async move {
            log_writer.head = log.extent().await.unwrap().head;
            loop {
                let number = log_writer.head.0 + 1;
                log_writer.whole_run(number, "t").append(&log).await;
                writeln!(std::io::stdout().lock(), "acknowledged {i} {}", log_writer.head).unwrap();
            }
        }
    });
    futures::future::join_all(writers).await;
}

/// Runs the ignored test `child` as a process of its own, kills it after `lines` acknowledgements, and returns the last
/// acknowledged offset of each user.
pub fn kill_after(lines: usize, child: &str, (variable, value): (&str, &str)) -> [u64; USERS] {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env(variable, value)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = [0u64; USERS];
    let mut note = |line: String| {
        if let Some((_, rest)) = line.split_once("acknowledged ") {
            let (user, head) = rest.split_once(' ').unwrap();
            acknowledged[user.parse::<usize>().unwrap()] = head.parse().unwrap();
        }
    };
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = output.by_ref().map(|line| line.unwrap()).filter(|line| line.contains("acknowledged"));
    first.take(lines).for_each(&mut note);
    child.kill().unwrap();
    child.wait().unwrap();
    // Its output before the kill, without a last line that was cut off.
    let rest: Vec<String> = output.map_while(Result::ok).collect();
    let whole = rest.len().saturating_sub(1);
    rest.into_iter().take(whole).for_each(&mut note);
    acknowledged
}

/// Checks that a log of whole runs has each offset once, and that its index agrees.
pub async fn whole_log(log: &Arc<dyn Log>, head: u64) {
    assert_eq!(head % 5, 0, "a part of a batch is stored");
    let lines = log.read(Offset::ZERO, EVERYTHING).await.unwrap();
    assert_eq!(offsets(&lines), (1..=head).collect::<Vec<_>>());
    for number in (0..head).step_by(5) {
        let record = log.run(run(number + 1)).await.unwrap().unwrap();
        assert_eq!(record.accepted, Offset(number + 1), "the index agrees with the entries");
        assert!(record.completed.is_some());
    }
}

//! DEL-1, DEL-2 under every schedule: a reader that waits for the head is woken when it moves, finds the
//! announced entries, and never sees the head go back.

#![cfg(quintet_loom)]

use bytes::BytesMut;
use loom::{future::block_on, sync::Arc, thread};
use quintet_journal::{Lines, ReadLimit, lines::LinesBuilder};
use quintet_kernel::ids::Offset;
use quintet_user::tail::{Tail, TailLimits};

mod bound;

const ALL: ReadLimit = ReadLimit { entries_max: 100, bytes_max: 1 << 20 };

fn batch(first: u64) -> Lines {
    let mut lines = LinesBuilder::new(Offset(first));
    lines.push(|line: &mut BytesMut| line.extend_from_slice(b"{}"));
    lines.finish()
}

/// A hub publishes twice while a reader follows, as a cursor does.
fn a_reader_follows() {
    let tail = Arc::new(Tail::new(TailLimits::DEFAULT));
    let hub = {
        let tail = tail.clone();
        thread::spawn(move || {
            tail.publish(batch(1));
            tail.publish(batch(2));
        })
    };
    let mut head = tail.watch();
    let mut after = Offset::ZERO;
    while after < Offset(2) {
        let through = *block_on(head.wait_for(|head| *head > after)).unwrap();
        let lines = tail.read(after, through, ALL).expect("DEL-1: announced entries are there");
        assert_eq!((lines.first(), lines.last()), (after.next(), through), "DEL-2: without a gap");
        after = lines.last();
    }
    hub.join().unwrap();
}

/// A hub publishes, and a cursor opens with an earlier head of the journal.
fn the_head_never_goes_back() {
    let tail = Arc::new(Tail::new(TailLimits::DEFAULT));
    let hub = {
        let tail = tail.clone();
        thread::spawn(move || {
            tail.publish(batch(1));
            tail.publish(batch(2));
        })
    };
    let cursor = {
        let tail = tail.clone();
        thread::spawn(move || tail.raise(Offset(1)))
    };
    let (before, after) = (tail.head(), tail.head());
    assert!(before <= after, "the head went back");
    hub.join().unwrap();
    cursor.join().unwrap();
    assert_eq!(tail.head(), Offset(2), "the head went back");
}

#[test]
fn del_1_waiting_reader_is_woken_and_finds_the_entries() {
    bound::check(a_reader_follows);
}

#[test]
fn del_2_head_never_goes_back() {
    bound::check(the_head_never_goes_back);
}

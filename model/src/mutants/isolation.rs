//! Defects of the way from a connection to its user: one step of the environment goes otherwise.

use quintet::kernel::user::{Command, Refusal};
use stateright::Model;

use super::{Hunted, suites};
use crate::{
    ask::Ask,
    law,
    models::isolation::{IsolationModel, World, WorldAction as A, run_of},
    mutants,
    vocabulary::message,
};

type Next = Option<World>;

fn ask(m: &IsolationModel, w: &World, c: u8, user: usize, ask: Ask) -> Next {
    let mut next = w.clone();
    m.ask(&mut next, c.into(), user, ask)?;
    Some(next)
}

/// The user of the first open connection, and of the last.
fn first(m: &IsolationModel, w: &World) -> Option<usize> {
    w.connections.iter().position(Option::is_some).map(|c| m.user(c))
}

fn last(m: &IsolationModel, w: &World) -> Option<usize> {
    w.connections.iter().rposition(Option::is_some).map(|c| m.user(c))
}

/// The user is looked up by the thread id, which both have: the last to register it has it.
fn routes_by_thread(m: &IsolationModel, w: &World, action: A) -> Next {
    match action {
        A::Ask(c, sent @ Ask::Send { .. }) => ask(m, w, c, last(m, w)?, sent),
        A::Deliver(c) => {
            let mut next = w.clone();
            m.deliver(&mut next, c.into(), last(m, w)?)?;
            Some(next)
        }
        _ => m.next_state(w, action),
    }
}

/// The first handler that was registered gets every command.
fn first_handler_wins(m: &IsolationModel, w: &World, action: A) -> Next {
    let A::Ask(c, asked) = action else { return m.next_state(w, action) };
    ask(m, w, c, first(m, w)?, asked)
}

/// A run is looked up among those of all users.
fn finds_foreign_runs(m: &IsolationModel, w: &World, action: A) -> Next {
    match action {
        A::Ask(c, asked @ (Ask::Cancel { run } | Ask::Answer { run, .. })) => {
            let owner = (0..2).find(|user| run_of(*user) == run).unwrap_or(m.user(c.into()));
            ask(m, w, c, owner, asked)
        }
        _ => m.next_state(w, action),
    }
}

/// A foreign run is refused with another error than one that does not exist.
fn tells_foreign_runs(m: &IsolationModel, w: &World, action: A) -> Next {
    let A::Ask(c, asked @ (Ask::Cancel { run } | Ask::Answer { run, .. })) = action else {
        return m.next_state(w, action);
    };
    let own = m.user(c.into());
    let foreign = 1 - own;
    let decided = m.decide(w, own, IsolationModel::command(w, own, asked));
    if run != run_of(foreign) || w.users[foreign].log.is_empty() || decided.is_ok() {
        return m.next_state(w, action);
    }
    let mut next = w.clone();
    m.conclude(&mut next, c.into(), own, asked, Err(Refusal::RunEnded))?;
    Some(next)
}

/// Messages of all users are remembered in one place.
fn shares_messages(m: &IsolationModel, w: &World, action: A) -> Next {
    let A::Ask(c, asked @ Ask::Send { .. }) = action else { return m.next_state(w, action) };
    let own = m.user(c.into());
    let mut command = IsolationModel::command(w, own, asked);
    if let Command::Send(send) = &mut command {
        let mut all = w.users.iter().flat_map(|account| law::runs(&account.log));
        send.earlier = all.find(|told| *told.message_id == message(1)).map(|told| told.receipt());
    }
    let mut next = w.clone();
    m.conclude(&mut next, c.into(), own, asked, m.decide(w, own, command))?;
    Some(next)
}

/// Machines are never let go.
fn keeps_machines(m: &IsolationModel, w: &World, action: A) -> Next {
    if matches!(action, A::LetGo(_)) { None } else { m.next_state(w, action) }
}

/// Machines go with the last connection, even with open runs.
fn evicts_early(m: &IsolationModel, w: &World, action: A) -> Next {
    let A::LetGo(user) = action else { return m.next_state(w, action) };
    let user = usize::from(user);
    if w.is_connected(m, user) {
        return None;
    }
    let mut next = w.clone();
    next.users[user].machines.take()?;
    Some(next)
}

/// Machines belong to a connection: a second one gets its own.
fn machines_per_connection(m: &IsolationModel, w: &World, action: A) -> Next {
    let mut next = m.next_state(w, action)?;
    if let A::Connect(c) = action {
        next.users[m.user(c.into())].machines = Some(m.recovered(&[])?);
    }
    Some(next)
}

/// After a crash, machines are made of the log that lies first.
fn recovers_the_first(m: &IsolationModel, w: &World, action: A) -> Next {
    let mut next = m.next_state(w, action)?;
    if action == A::Restart {
        for account in next.users.iter_mut().filter(|account| account.machines.is_some()) {
            account.machines = Some(m.recovered(&w.users[0].log)?);
        }
    }
    Some(next)
}

/// When one user's append fails, the other's machines are lost too, and not recovered.
fn loses_everybody(m: &IsolationModel, w: &World, action: A) -> Next {
    let mut next = m.next_state(w, action)?;
    if let A::WriteFails(user) = action {
        next.users[1 - usize::from(user)].machines = None;
    }
    Some(next)
}

#[rustfmt::skip]
pub fn mutants() -> Vec<Hunted> {
    mutants![
        "thread-id-for-user-id" ["ISO-1", "ISO-2"] Some("identifier confusion"),
            "where an event goes is looked up by its thread id",
            "isolation: ISO-1" => suites::isolation(routes_by_thread);
        "first-handler-wins" ["ISO-1"] Some("cross-user routing"), "the first handler that was registered gets everything",
            "isolation: ISO-1" => suites::isolation(first_handler_wins);
        "finds-foreign-runs" ["ISO-1", "ISO-3"] Some("guard that does not guard"),
            "a run is looked up among everybody's, and the user is checked in words only",
            "isolation: ISO-1" => suites::isolation(finds_foreign_runs);
        "tells-of-foreign-runs" ["ISO-3"] None, "a foreign run is refused in other words than one that does not exist",
            "isolation: ISO-3" => suites::isolation(tells_foreign_runs);
        "messages-in-one-place" ["ISO-2"] None, "messages of all users are remembered in one place",
            "isolation: ISO-2" => suites::isolation(shares_messages);
        "machines-never-go" ["ISO-5"] Some("leaks"), "machines are never let go",
            "isolation: ISO-5 machines go" => suites::isolation(keeps_machines);
        "machines-go-too-early" ["ISO-5"] None, "machines go with the last connection, whatever still runs",
            "isolation: ISO-5 machines live" => suites::isolation(evicts_early);
        "machines-of-a-connection" ["RECOVERY"] Some("orphaned storage"),
            "state is kept by connection: the next connection does not find it",
            "isolation: FOLD" => suites::isolation(machines_per_connection);
        "recovers-the-first-log" ["RECOVERY"] Some("identifier confusion"),
            "after a crash every user's machines are made of the log that lies first",
            "isolation: FOLD" => suites::isolation(recovers_the_first);
        "one-failure-is-everybodys" ["ISO-5"] None, "when one user's append fails, the machines of all are lost",
            "isolation: ISO-5 machines live" => suites::isolation(loses_everybody);
    ]
}

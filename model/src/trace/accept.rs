//! One trace, from its first record to its last.

use quintet::witness::record::{Record, TracedLimits};

use super::{
    Account, Refused,
    links::Links,
    logs::Logs,
    narrow::{self, Checked},
    read::{self, Process},
    replay, slice,
    tickets::Tickets,
};

/// Accepts a trace, or names the first record that no behaviour allows. `checked`: slices that the
/// specifications have accepted before.
pub fn accept(text: &str, checked: &mut Checked) -> Result<Account, Refused> {
    let (logs, mut account) = wide(text)?;
    for slices in slice::all(&logs) {
        account.narrow.push(narrow::check(slices, checked)?);
    }
    Ok(account)
}

/// The wide pass: every record, by the kernel itself.
pub fn wide(text: &str) -> Result<(Logs, Account), Refused> {
    let processes = read::read(text)?;
    let mut account = Account { processes: processes.len(), ..Account::default() };
    let mut logs = Logs::default();
    let mut epoch = None;
    for process in &processes {
        if epoch.replace(process.start.epoch).is_some_and(|before| before != process.start.epoch) {
            // Another journal: nothing of the one before is true of it.
            logs = Logs::default();
        }
        one(process, &mut logs, &mut account)?;
        logs.restart();
    }
    account.users = logs.users().count();
    Ok((logs, account))
}

fn one(process: &Process, logs: &mut Logs, account: &mut Account) -> Result<(), Refused> {
    let traced: &TracedLimits = &process.start.limits;
    let limits = replay::limits(traced);
    let mut links = Links::new(process.start.connection);
    let mut tickets = Tickets::default();
    let mut killed = true;
    account.records += 1 + process.records.len();
    for (line, record) in &process.records {
        let line = *line;
        match record {
            Record::Start(_) => {}
            Record::Recovered(recovered) => logs.recovered(line, recovered, &limits, account)?,
            Record::Unlearnt { user, head } => logs.unlearnt(user, *head),
            Record::Head { user, head } => logs.head(user, *head),
            Record::Append(append) => logs.append(line, append, &limits, account)?,
            Record::Accepted { connection, identity, effects } => {
                links.accepted(line, *connection, identity.as_ref(), effects, account)?;
            }
            Record::Step { connection, input, rejected, effects } => {
                links.step(line, *connection, input, *rejected, effects, logs, account)?;
            }
            Record::Sent { connection, frame } => links.sent(line, *connection, frame, logs, account)?,
            Record::Closed { connection, code } => links.closed(line, *connection, *code, account)?,
            Record::Ticket { ticket, at, what } => tickets.record(line, ticket, *at, what, account)?,
            Record::TicketsVoid => tickets.void(),
            Record::Drain { .. } => {}
            Record::Stop => killed = false,
            Record::Lost { records } => {
                account.unjudged += records;
                logs.hole();
                links.hole();
                tickets.hole();
            }
        }
    }
    tickets.end(killed)
}

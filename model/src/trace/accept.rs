//! One trace, from its first record to its last.

use quintet_monitor::record::{DecisionRecord, Outcome, Record, TracedCommand, TracedLimits};

use super::{
    Account, Refused,
    delivery::Deliveries,
    links::Links,
    logs::Logs,
    narrow::{self, Checked, Slices},
    read::{self, Process},
    replay, slice,
    tickets::Tickets,
};

/// Accepts a trace, or names the first record that no behaviour allows. `checked`: slices that the
/// specifications have accepted before.
pub fn accept(text: &str, checked: &mut Checked) -> Result<Account, Refused> {
    let Wide { logs, deliveries, tickets, mut account } = wide(text)?;
    let mut all = slice::all(&logs);
    if checked.asks_for_deliveries() {
        all.extend([deliveries.slices(), tickets]);
    }
    for slices in all {
        account.narrow.push(narrow::check(slices, checked)?);
    }
    Ok(account)
}

/// The state of the wide pass.
#[derive(Debug)]
pub struct Wide {
    pub logs: Logs,
    pub deliveries: Deliveries,
    pub tickets: Slices,
    pub account: Account,
}

/// The wide pass: every record, by the kernel itself.
pub fn wide(text: &str) -> Result<Wide, Refused> {
    let processes = read::read(text)?;
    let account = Account { processes: processes.len(), ..Account::default() };
    let (logs, deliveries, tickets) = (Logs::default(), Deliveries::default(), Slices::new("Ticket"));
    let mut wide = Wide { logs, deliveries, tickets, account };
    let mut epoch = None;
    for process in &processes {
        if epoch.replace(process.start.epoch).is_some_and(|before| before != process.start.epoch) {
            // Another journal: nothing of the one before is true of it.
            wide.logs = Logs::default();
        }
        one(process, &mut wide)?;
        wide.logs.restart();
        wide.deliveries.cut();
    }
    wide.account.users = wide.logs.users().count();
    Ok(wide)
}

fn one(process: &Process, wide: &mut Wide) -> Result<(), Refused> {
    let Wide { logs, deliveries, tickets: slices, account } = wide;
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
            Record::Recovered(recovered) => {
                logs.recovered(line, recovered, &limits, account)?;
                deliveries.recovered(&recovered.user, recovered.head);
            }
            Record::Unlearnt { user, head } => {
                logs.unlearnt(user, *head);
                deliveries.spoilt(user);
            }
            Record::Head { user, head } => {
                logs.head(user, *head);
                deliveries.head(line, user, *head);
            }
            Record::Append(append) => {
                logs.append(line, append, &limits, account)?;
                match append.outcome {
                    // The specification of delivery has entries of runs only.
                    Outcome::Appended if append.decided.iter().any(is_of_threads) => {
                        deliveries.spoilt(&append.user);
                    }
                    Outcome::Appended => deliveries.appended(line, &append.user, &append.entries),
                    Outcome::Nothing => {}
                    Outcome::Refused | Outcome::Unknown | Outcome::Forgotten => {
                        deliveries.spoilt(&append.user)
                    }
                }
            }
            Record::Accepted { connection, identity, effects } => {
                links.accepted(line, *connection, identity.as_ref(), effects, account)?;
            }
            Record::Step { connection, input, rejected, effects } => {
                links.step(line, *connection, input, *rejected, effects, logs, account)?;
                deliveries.stepped(line, *connection, input, links.user(*connection));
            }
            Record::Sent { connection, frame } => {
                links.sent(line, *connection, frame, logs, account)?;
                deliveries.sent(line, *connection, frame);
            }
            Record::Closed { connection, code } => {
                links.closed(line, *connection, *code, account)?;
                deliveries.closed(line, *connection);
            }
            Record::Ticket { ticket, at, what } => tickets.record(line, ticket, *at, what, account)?,
            Record::TicketsVoid => tickets.void(),
            Record::Drain { .. } => {}
            Record::Stop => killed = false,
            Record::Lost { records } => {
                account.unjudged += records;
                logs.hole();
                links.hole();
                tickets.hole();
                deliveries.cut();
            }
        }
    }
    tickets.slices(slices);
    tickets.end(killed)
}

/// Returns true if the decision adds entries that belong to no run.
fn is_of_threads(decided: &DecisionRecord) -> bool {
    matches!(decided.command, TracedCommand::UpdateThread { .. } | TracedCommand::Erased { .. })
}

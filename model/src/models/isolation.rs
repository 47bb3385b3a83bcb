//! Two users with equal thread, message and call ids, two connections each, and machines that are made
//! when somebody needs them and go when nobody does. Clients ask with ids of their own, of the other
//! user, and of nobody. What stands between a connection and its log is a lease, as in
//! `src/user/registry.rs`: a name that is looked up once, when the connection is authenticated.

use std::sync::Arc;

use quintet::kernel::{
    entry::{By, Entry},
    ids::Offset,
    limits::Limits,
    user::{Command, OnBusy, Refusal, Reply, UserState},
};
use stateright::{Model, Property};

use crate::{
    ask::{Ask, Deed},
    checks,
    checks::{Check, Checked},
    law,
    machine::Machine,
    vocabulary::{brief, message, run, run_number, without_words},
};

/// A small named defect of the way from a connection to its user; `None` is what the service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    None,
    /// Where an event goes is looked up by its thread id ("identifier confusion").
    RoutesByThread,
    /// The first handler that was registered gets everything ("cross-user routing").
    FirstHandlerWins,
    /// A run is looked up in everybody's, and the user checked only in words ("guard that does not guard").
    FindsForeignRuns,
    /// A foreign run is refused in other words than one that does not exist (ISO-3).
    TellsForeignRuns,
    /// Messages of all users are remembered in one place (ISO-2).
    SharesMessages,
    /// Machines are never let go ("leaks").
    KeepsMachines,
    /// Machines go with the last connection, whatever still runs.
    EvictsEarly,
    /// Machines belong to a connection: a second one gets its own ("orphaned storage").
    MachinesPerConnection,
    /// After a crash, machines are made of the log that lies first.
    RecoversTheFirst,
    /// When one user's append fails, the other's machines are taken for lost too, and not found again.
    LosesEverybody,
}

#[derive(Clone, Debug)]
pub struct IsolationModel {
    pub machine: &'static dyn Machine,
    pub leak: Leak,
    pub connections: u8,
    /// Whether appends may fail, and the service crash.
    pub fails: bool,
    pub limits: Limits,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub users: [Account; 2],
    /// Whether the service has crashed.
    pub is_down: bool,
    /// Each connection of each user: how far it has read, or none.
    pub connections: Vec<Option<u64>>,
    pub broken: Option<&'static str>,
}

/// A user's log, and its machines while they live.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Account {
    pub log: Arc<Vec<Entry>>,
    pub machines: Option<UserState>,
    /// Whether an append failed, so that the log has to be read before the machines are there again.
    pub is_lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorldAction {
    Connect(u8),
    Disconnect(u8),
    /// A client asks, over this connection.
    Ask(u8, Ask),
    /// The agent of a user's run makes a step.
    Step(u8, Deed),
    Deliver(u8),
    /// The machines of a user are let go.
    LetGo(u8),
    /// An append for a user fails, and what its machines knew with it; its log is read again.
    WriteFails(u8),
    ReadAgain(u8),
    /// The service crashes, with every connection; at its restart it takes up the runs that are open.
    Crash,
    Restart,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, user) in (1..).zip(&self.users) {
            let log: Vec<String> = user.log.iter().map(brief).collect();
            let live = match (&user.machines, user.is_lost) {
                (Some(_), _) => "live",
                (None, true) => "lost",
                (None, false) => "gone",
            };
            write!(f, "u{number} {live} {log:?}, ")?;
        }
        let up = if self.is_down { "down" } else { "up" };
        write!(f, "{up}, connections at {:?}", self.connections)?;
        self.broken.map_or(Ok(()), |rule| write!(f, ", {rule} broken"))
    }
}

/// The run of user `u`'s only message; run 9 is nobody's.
pub fn run_of(user: usize) -> u8 {
    user as u8 + 1
}

const NOBODYS_RUN: u8 = 9;

impl World {
    fn breaks(&mut self, rule: &'static str) {
        self.broken = self.broken.or(Some(rule));
    }

    fn leased(&self, model: &IsolationModel, user: usize) -> bool {
        let connected =
            (0..self.connections.len()).any(|c| model.user(c) == user && self.connections[c].is_some());
        let running = self.users[user].machines.as_ref().is_some_and(|m| !m.open_runs().is_empty());
        connected || running && model.leak != Leak::EvictsEarly
    }
}

impl IsolationModel {
    fn user(&self, connection: usize) -> usize {
        connection / usize::from(self.connections)
    }

    /// Whose machines this connection's commands reach.
    fn reaches(&self, world: &World, connection: usize, ask: Ask) -> usize {
        let own = self.user(connection);
        match (self.leak, ask) {
            (Leak::FirstHandlerWins, _) => {
                world.connections.iter().position(Option::is_some).map_or(own, |first| self.user(first))
            }
            // Thread 1 is everybody's: the last who registered it has it.
            (Leak::RoutesByThread, Ask::Send { .. }) => {
                world.connections.iter().rposition(Option::is_some).map_or(own, |last| self.user(last))
            }
            (Leak::FindsForeignRuns, Ask::Cancel { run } | Ask::Answer { run, .. }) => {
                (0..2).find(|user| run_of(*user) == run).unwrap_or(own)
            }
            _ => own,
        }
    }

    fn recovered(&self, log: &[Entry]) -> Option<UserState> {
        let told = law::runs(log);
        let is_open = |entry: &&Entry| told.iter().any(|t| t.run_id == entry.run_id && t.ended().is_none());
        let unfinished: Vec<&Entry> = log.iter().filter(is_open).collect();
        let recent = told.iter().map(|told| (told.message_id.clone(), told.receipt())).collect();
        self.machine.recover(Offset(log.len() as u64), recent, &unfinished, &self.limits).ok()
    }

    fn command(&self, world: &World, user: usize, ask: Ask) -> Command {
        let account = &world.users[user];
        let view = account.machines.clone().unwrap_or_default();
        let mut command = ask.command(&account.log, &view, run(run_of(user)));
        if let (Leak::SharesMessages, Command::Send(send)) = (self.leak, &mut command) {
            let all = world.users.iter().flat_map(|account| law::runs(&account.log));
            send.earlier =
                all.filter(|told| *told.message_id == message(1)).map(|told| told.receipt()).next();
        }
        command
    }

    fn decide(&self, world: &World, user: usize, ask: Ask) -> Result<(Vec<Entry>, Reply), Refusal> {
        let machines = world.users[user].machines.clone().ok_or(Refusal::NotFound)?;
        let decision = self.machine.decide(&machines, self.command(world, user, ask), &self.limits)?;
        Ok((decision.entries.into_iter().map(without_words).collect(), decision.reply))
    }

    fn ask(&self, world: &mut World, connection: usize, ask: Ask) -> Option<()> {
        world.connections[connection]?;
        // Commands wait for machines that are being found again.
        world.users[self.user(connection)].machines.as_ref()?;
        let (own, user) = (self.user(connection), self.reaches(world, connection, ask));
        let decided = self.decide(world, user, ask);
        if user != own && decided.as_ref().is_ok_and(|(entries, _)| !entries.is_empty()) {
            world.breaks("ISO-1");
        }
        self.judge(world, own, ask, &decided);
        if let Ok((entries, _)) = decided {
            self.add(world, user, entries);
        }
        Some(())
    }

    /// ISO-2, ISO-3: the answer is about the asker's own, and a foreign id is as good as no id.
    fn judge(&self, world: &mut World, own: usize, ask: Ask, decided: &Result<(Vec<Entry>, Reply), Refusal>) {
        if let Ok((_, Reply::Accepted { receipt, .. })) = decided
            && run_number(receipt.run_id) != run_of(own)
        {
            world.breaks("ISO-2");
        }
        let foreign = run_of(1 - own);
        let nobodys = match ask {
            Ask::Cancel { run } if run == foreign => Ask::Cancel { run: NOBODYS_RUN },
            Ask::Answer { run, call } if run == foreign => Ask::Answer { run: NOBODYS_RUN, call },
            _ => return,
        };
        let told = match (self.leak, decided) {
            (Leak::TellsForeignRuns, Err(_)) if !world.users[1 - own].log.is_empty() => {
                Err(Refusal::RunEnded)
            }
            _ => decided.clone(),
        };
        if told != self.decide(world, own, nobodys) {
            world.breaks("ISO-3");
        }
    }

    fn add(&self, world: &mut World, user: usize, entries: Vec<Entry>) {
        for entry in entries {
            let Some(machines) = world.users[user].machines.as_mut() else { return world.breaks("ISO-5") };
            if self.machine.evolve(machines, &entry, &self.limits).is_err() {
                world.breaks("FOLD");
            }
            Arc::make_mut(&mut world.users[user].log).push(entry);
        }
    }

    fn connect(&self, world: &mut World, connection: usize) -> Option<()> {
        let user = self.user(connection);
        if world.connections[connection].is_some() || world.is_down || world.users[user].is_lost {
            return None;
        }
        if world.users[user].machines.is_none() || self.leak == Leak::MachinesPerConnection {
            let log =
                if self.leak == Leak::MachinesPerConnection { &[][..] } else { &world.users[user].log[..] };
            world.users[user].machines = Some(self.recovered(log)?);
        }
        world.connections[connection] = Some(0);
        Some(())
    }

    fn write_fails(&self, world: &mut World, user: usize) -> Option<()> {
        let account = &mut world.users[user];
        account.machines.take()?;
        account.is_lost = true;
        if self.leak == Leak::LosesEverybody {
            // Nobody knows of the other that its log has to be read again.
            world.users[1 - user].machines = None;
        }
        Some(())
    }

    fn read_again(&self, world: &mut World, user: usize) -> Option<()> {
        let account = &mut world.users[user];
        if !account.is_lost {
            return None;
        }
        account.is_lost = false;
        account.machines = Some(self.recovered(&account.log)?);
        Some(())
    }

    fn crash(&self, world: &mut World) -> Option<()> {
        if world.is_down {
            return None;
        }
        world.is_down = true;
        world.connections.fill(None);
        for account in &mut world.users {
            (account.machines, account.is_lost) = (None, false);
        }
        Some(())
    }

    /// RUN-6: whoever has a run that is not over has machines again.
    fn restart(&self, world: &mut World) -> Option<()> {
        if !world.is_down {
            return None;
        }
        world.is_down = false;
        for user in 0..world.users.len() {
            if is_at_rest(&world.users[user]) {
                continue;
            }
            let whose = if self.leak == Leak::RecoversTheFirst { 0 } else { user };
            world.users[user].machines = Some(self.recovered(&world.users[whose].log)?);
        }
        Some(())
    }

    fn deliver(&self, world: &mut World, connection: usize) -> Option<()> {
        let at = world.connections[connection]?;
        let own = self.user(connection);
        let from = match self.leak {
            Leak::RoutesByThread => {
                world.connections.iter().rposition(Option::is_some).map_or(own, |c| self.user(c))
            }
            _ => own,
        };
        let entry = world.users[from].log.get(at as usize)?.clone();
        if run_number(entry.run_id) != run_of(own) {
            world.breaks("ISO-1");
        }
        world.connections[connection] = Some(at + 1);
        Some(())
    }
}

fn is_at_rest(account: &Account) -> bool {
    law::runs(&account.log).iter().all(|run| run.ended().is_some())
}

impl Model for IsolationModel {
    type State = World;
    type Action = WorldAction;

    fn init_states(&self) -> Vec<World> {
        let connections = vec![None; 2 * usize::from(self.connections)];
        let users = [Account::default(), Account::default()];
        vec![World { users, is_down: false, connections, broken: None }]
    }

    fn actions(&self, _: &World, actions: &mut Vec<WorldAction>) {
        use WorldAction as A;
        for c in 0..2 * self.connections {
            actions.extend([A::Connect(c), A::Disconnect(c), A::Deliver(c)]);
            actions.push(A::Ask(c, Ask::Send { message: 1, thread: 1, on_busy: OnBusy::Enqueue }));
            for run in [1, 2, NOBODYS_RUN] {
                actions.extend([A::Ask(c, Ask::Cancel { run }), A::Ask(c, Ask::Answer { run, call: 1 })]);
            }
        }
        for user in [0, 1] {
            actions.extend(
                [Deed::Think, Deed::Open(1, By::Client), Deed::Succeed].map(|deed| A::Step(user, deed)),
            );
            actions.push(A::LetGo(user));
            if self.fails {
                actions.extend([A::WriteFails(user), A::ReadAgain(user)]);
            }
        }
        if self.fails {
            actions.extend([A::Crash, A::Restart]);
        }
    }

    fn next_state(&self, world: &World, action: WorldAction) -> Option<World> {
        use WorldAction as A;
        if world.broken.is_some() {
            return None;
        }
        let mut next = world.clone();
        match action {
            A::Connect(c) => self.connect(&mut next, c.into())?,
            A::Disconnect(c) => {
                world.connections[usize::from(c)]?;
                next.connections[usize::from(c)] = None;
            }
            A::Ask(c, ask) => self.ask(&mut next, c.into(), ask)?,
            A::Step(user, deed) => {
                let run = run_of(user.into());
                let (entries, _) = self.decide(world, user.into(), Ask::Step { run, deed }).ok()?;
                self.add(&mut next, user.into(), entries);
            }
            A::Deliver(c) => self.deliver(&mut next, c.into())?,
            A::LetGo(user) => {
                let user = usize::from(user);
                world.users[user].machines.as_ref()?;
                if world.leased(self, user) || self.leak == Leak::KeepsMachines {
                    return None;
                }
                next.users[user].machines = None;
            }
            A::WriteFails(user) => self.write_fails(&mut next, user.into())?,
            A::ReadAgain(user) => self.read_again(&mut next, user.into())?,
            A::Crash => self.crash(&mut next)?,
            A::Restart => self.restart(&mut next)?,
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}

impl Checked for IsolationModel {
    const NAME: &str = "isolation";

    fn checks() -> Vec<Check<Self>> {
        fn kept(w: &World, rule: &str) -> bool {
            w.broken != Some(rule)
        }
        fn whose(w: &World, user: usize) -> bool {
            w.users[user].log.iter().all(|entry| run_number(entry.run_id) == run_of(user))
        }
        checks![IsolationModel;
            always ["ISO-1"] "a connection tells of its own user only, and reaches nobody else"
                case "both users have read what is theirs" => |_, w| {
                kept(w, "ISO-1") && whose(w, 0) && whose(w, 1)
            };
            always ["ISO-2"] "equal ids of two users never meet"
                case "both users have a run of the same names at once" => |_, w| kept(w, "ISO-2");
            always ["ISO-3"] "what is another's is as what does not exist"
                case "both users have a run of the same names at once" => |_, w| kept(w, "ISO-3");
            always ["ISO-5"] "machines live while somebody needs them"
                case "a run goes on with nobody there" => |_, w| {
                kept(w, "ISO-5")
                    && w.users.iter().all(|account| {
                        account.machines.is_some() || account.is_lost || w.is_down || is_at_rest(account)
                    })
            };
            always ["FOLD", "RECOVERY"] "machines that come back know what they knew"
                case "machines are gone while the log is not empty" => |m, w| {
                kept(w, "FOLD")
                    && w.users.iter().all(|account| {
                        account
                            .machines
                            .as_ref()
                            .is_none_or(|live| m.recovered(&account.log).as_ref() == Some(live))
                    })
            };
            sometimes ["ISO-2", "ISO-3"] "both users have a run of the same names at once" => |_, w| {
                w.users
                    .iter()
                    .all(|account| account.machines.as_ref().is_some_and(|m| m.open_runs().len() == 1))
            };
            sometimes ["ISO-1"] "both users have read what is theirs" => |m, w| {
                let read = |user| {
                    (0..w.connections.len()).any(|c| m.user(c) == user && w.connections[c] > Some(0))
                };
                read(0) && read(1)
            };
            sometimes ["ISO-5"] "a run goes on with nobody there" => |_, w| {
                w.connections.iter().all(Option::is_none)
                    && w.users[0].machines.as_ref().is_some_and(|m| !m.open_runs().is_empty())
            };
            sometimes ["ISO-5"] "the service is down while both users have a run" => |_, w| {
                w.is_down && w.users.iter().all(|account| !is_at_rest(account))
            };
            sometimes ["ISO-1", "ISO-5"] "one user's append fails while another reads" => |m, w| {
                w.users[0].is_lost
                    && (0..w.connections.len()).any(|c| m.user(c) == 1 && w.connections[c] > Some(0))
            };
            sometimes ["ISO-5", "FOLD", "RECOVERY"] "machines are gone while the log is not empty" => |_, w| {
                w.users.iter().any(|account| account.machines.is_none() && !account.log.is_empty())
            };
            sometimes ["ISO-3"] "a client has answered its own question" => |_, w| {
                w.users.iter().any(|account| account.log.iter().any(|entry| brief(entry).contains("c1 ok")))
            };
        ]
    }
}

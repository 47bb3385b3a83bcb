//! Two users with equal thread, message and call ids, up to two connections each, and machines that exist
//! while a connection or a run needs them. Clients ask with ids of their own, of the other user, and of no
//! user. A connection reaches its log through a lease, as in `src/user/registry.rs`: a name that is looked
//! up once, when the connection is authenticated.
//!
//! - [`state`]: the state; [`properties`]: the claims

mod properties;
mod state;

use std::sync::Arc;

use quintet::kernel::{
    entry::{CallOwner, Entry},
    limits::Limits,
    user::{Command, OnBusy, Refusal, Reply, UserState},
};
use stateright::{Model, Property};

use crate::{
    ask::{After, Ask, Deed},
    checks::Checked,
    law,
    machine::Machine,
    vocabulary::{run, run_number, without_words},
};

pub use self::state::{Account, World, WorldAction};

#[derive(Clone, Debug)]
pub struct IsolationModel {
    pub machine: &'static dyn Machine,
    pub connections: u8,
    /// Whether appends may fail, and the service crash.
    pub fails: bool,
    pub limits: Limits,
}

/// The run of a user's only message.
pub fn run_of(user: usize) -> u8 {
    user as u8 + 1
}

/// A run of no user.
const NOBODYS_RUN: u8 = 9;

/// What the machines decided for one command.
pub(crate) type Decided = Result<(Vec<Entry>, Reply), Refusal>;

impl IsolationModel {
    /// The user of a connection.
    pub(crate) fn user(&self, connection: usize) -> usize {
        connection / usize::from(self.connections)
    }

    pub(crate) fn recovered(&self, log: &[Entry]) -> Option<UserState> {
        self.machine.recovered(log, &self.limits)
    }

    pub(crate) fn command(world: &World, user: usize, ask: Ask) -> Command {
        let account = &world.users[user];
        let view = account.machines.clone().unwrap_or_default();
        ask.command(&account.log, &view, run(run_of(user)))
    }

    pub(crate) fn decide(&self, world: &World, user: usize, command: Command) -> Decided {
        let machines = world.users[user].machines.clone().ok_or(Refusal::NotFound)?;
        let decision = self.machine.decide(&machines, command, &self.limits)?;
        Ok((decision.entries.into_iter().map(without_words).collect(), decision.reply))
    }

    /// A client asks. Its command reaches the machines of this user, which should be its own.
    pub(crate) fn ask(&self, world: &mut World, connection: usize, user: usize, ask: Ask) -> Option<()> {
        world.connections[connection]?;
        let decided = self.decide(world, user, Self::command(world, user, ask));
        self.conclude(world, connection, user, ask, decided)
    }

    /// What was decided for this user is added, and answered over this connection.
    pub(crate) fn conclude(
        &self,
        world: &mut World,
        connection: usize,
        user: usize,
        ask: Ask,
        decided: Decided,
    ) -> Option<()> {
        world.connections[connection]?;
        let own = self.user(connection);
        // Commands wait while the machines are being recovered.
        world.users[own].machines.as_ref()?;
        if user != own && decided.as_ref().is_ok_and(|(entries, _)| !entries.is_empty()) {
            world.breaks("ISO-1");
        }
        self.judge(world, own, ask, &decided);
        if let Ok((entries, _)) = decided {
            self.add(world, user, entries);
        }
        Some(())
    }

    /// ISO-2, ISO-3: the answer is about the asker's own run, and a foreign id is answered as one of no run.
    fn judge(&self, world: &mut World, own: usize, ask: Ask, decided: &Decided) {
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
        if *decided != self.decide(world, own, Self::command(world, own, nobodys)) {
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
        if world.users[user].machines.is_none() {
            world.users[user].machines = Some(self.recovered(&world.users[user].log)?);
        }
        world.connections[connection] = Some(0);
        Some(())
    }

    fn write_fails(world: &mut World, user: usize) -> Option<()> {
        let account = &mut world.users[user];
        account.machines.take()?;
        account.is_lost = true;
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

    fn crash(world: &mut World) -> Option<()> {
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

    /// RUN-6: a user with a run that is not over has machines again.
    fn restart(&self, world: &mut World) -> Option<()> {
        if !world.is_down {
            return None;
        }
        world.is_down = false;
        for account in world.users.iter_mut().filter(|account| !is_at_rest(account)) {
            account.machines = Some(self.recovered(&account.log)?);
        }
        Some(())
    }

    /// A connection reads the next entry of this user's log, which should be its own.
    pub(crate) fn deliver(&self, world: &mut World, connection: usize, user: usize) -> Option<()> {
        let at = world.connections[connection]?;
        let entry = world.users[user].log.get(at as usize)?;
        if entry.run_id().map(run_number) != Some(run_of(self.user(connection))) {
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
            let (on_busy, after) = (OnBusy::Enqueue, After::Latest);
            actions.push(A::Ask(c, Ask::Send { message: 1, thread: 1, on_busy, after }));
            for run in [1, 2, NOBODYS_RUN] {
                actions.extend([A::Ask(c, Ask::Cancel { run }), A::Ask(c, Ask::Answer { run, call: 1 })]);
            }
        }
        for user in [0, 1] {
            actions.extend(
                [Deed::Think, Deed::Open(1, CallOwner::Client), Deed::Succeed]
                    .map(|deed| A::Step(user, deed)),
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
            A::Ask(c, ask) => self.ask(&mut next, c.into(), self.user(c.into()), ask)?,
            A::Step(user, deed) => {
                let run = run_of(user.into());
                let step = Self::command(world, user.into(), Ask::Step { run, deed });
                let (entries, _) = self.decide(world, user.into(), step).ok()?;
                self.add(&mut next, user.into(), entries);
            }
            A::Deliver(c) => self.deliver(&mut next, c.into(), self.user(c.into()))?,
            A::LetGo(user) => {
                let user = usize::from(user);
                world.users[user].machines.as_ref()?;
                if world.is_leased(self, user) {
                    return None;
                }
                next.users[user].machines = None;
            }
            A::WriteFails(user) => Self::write_fails(&mut next, user.into())?,
            A::ReadAgain(user) => self.read_again(&mut next, user.into())?,
            A::Crash => Self::crash(&mut next)?,
            A::Restart => self.restart(&mut next)?,
        }
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Self::stateright_properties()
    }
}

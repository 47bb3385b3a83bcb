//! The properties of threads, and erasures (DEL-8), in readable examples.

use quintet_kernel::{
    entry::{CallOwner, Entry, ThreadChange, ThreadEntry},
    ids::{Offset, ReceiptId, Title},
    limits::Limits,
    user::{
        AgentStep, Command, Decision, EraseScope, InvalidEntry, NewMessage, OnBusy, Receipt, RecentParent,
        Refusal, Reply, SendCommand, ThreadProperties, ThreadUpdate, UpdateThread, UserState,
    },
};
use uuid::Uuid;

use crate::make::{AT, agent_name, answer, call, message_id, run_id, thread_id};

fn receipt(id: u8) -> ReceiptId {
    ReceiptId(Uuid::from_u128(id.into()))
}

fn title(text: &str) -> Option<Title> {
    Some(Title::parse(text).unwrap())
}

fn sent(id: u8, thread: u8) -> SendCommand {
    SendCommand {
        message: NewMessage {
            message_id: message_id(id),
            thread_id: thread_id(thread),
            text: "hi".into(),
            agent_name: None,
            on_busy: OnBusy::Enqueue,
            parent: None,
        },
        agent_name: agent_name(),
        run_id: run_id(id.into()),
        earlier: None,
        differs: false,
        older_parent: None,
    }
}

fn erase(scope: EraseScope, id: u8) -> Command {
    Command::Erase { scope, receipt: receipt(id) }
}

fn thread(id: u8) -> EraseScope {
    EraseScope::Thread(thread_id(id))
}

fn update(
    title: Option<Option<Title>>,
    archived: Option<bool>,
    current: Option<ThreadProperties>,
) -> Command {
    let update = ThreadUpdate { title, archived };
    Command::UpdateThread(UpdateThread { thread_id: thread_id(1), update, current })
}

#[derive(Default)]
struct Desk(UserState);

impl Desk {
    fn take(&mut self, command: Command) -> Result<Decision, Refusal> {
        let decision = self.0.decide(command, &Limits::DEFAULT, AT)?;
        decision.entries.iter().for_each(|entry| self.0.evolve(entry, &Limits::DEFAULT).unwrap());
        decision.erasure.iter().for_each(|erasure| self.0.begin_erasure(erasure.clone()));
        Ok(decision)
    }
}

/// Returns the properties in the only entry of a decision.
fn properties(decision: &Decision) -> ThreadProperties {
    match &decision.entries[..] {
        [Entry::Thread(ThreadEntry { change: ThreadChange::Updated { title, archived }, .. })] => {
            ThreadProperties { title: title.clone(), archived: *archived }
        }
        entries => panic!("{entries:?}"),
    }
}

#[test]
fn an_update_writes_all_properties() {
    let mut desk = Desk::default();
    let current = || Some(ThreadProperties { title: title("old"), archived: true });
    let mut after = |title, archived| properties(&desk.take(update(title, archived, current())).unwrap());
    assert_eq!(after(None, None), current().unwrap());
    assert_eq!(after(Some(title("new")), None), ThreadProperties { title: title("new"), archived: true });
    assert_eq!(after(Some(None), Some(false)), ThreadProperties::default());
    assert_eq!(desk.take(update(None, Some(true), None)), Err(Refusal::NotFound), "no such thread");
    assert_eq!(desk.0.head(), Offset(3));
}

#[test]
fn del_8_an_erasure_ends_the_runs_of_its_thread_and_no_other() {
    let mut desk = Desk::default();
    for (id, of) in [(1, 1), (2, 1), (3, 2)] {
        desk.take(Command::Send(sent(id, of))).unwrap();
    }
    let step = |run, step| Command::Step { run_id: run_id(run), step };
    desk.take(step(1, AgentStep::Think(answer("x")))).unwrap();
    desk.take(step(1, AgentStep::Open(call(1, CallOwner::Client)))).unwrap();
    let head = desk.0.head();

    let decision = desk.take(erase(thread(1), 1)).unwrap();
    // RUN-7: the call closes first. The queued run is never active (RUN-8).
    assert_eq!(decision.entries.len(), 4, "tool_completed, agent_completed, agent_started, agent_completed");
    let erasure = decision.erasure.unwrap();
    assert_eq!((erasure.through, desk.0.head()), (Offset(head.0 + 4), Offset(head.0 + 4)));
    assert_eq!(desk.0.open_runs().keys().collect::<Vec<_>>(), [&run_id(3)]);
    assert!(!desk.0.has_recent(&thread_id(1)) && desk.0.has_recent(&thread_id(2)));

    let decision = desk.take(Command::Erased { receipt: receipt(1) }).unwrap();
    let [Entry::Thread(ThreadEntry { change, thread_id: of, .. })] = &decision.entries[..] else { panic!() };
    let expected = ThreadChange::Erased { through: erasure.through, receipt: receipt(1) };
    assert_eq!((change, of), (&expected, &thread_id(1)));
    assert!(desk.0.erasures().is_empty());
    assert_eq!(desk.take(Command::Erased { receipt: receipt(1) }), Err(Refusal::NotFound), "it ends once");
}

#[test]
fn del_8_the_whole_log_is_erased_by_one_erasure() {
    let mut desk = Desk::default();
    desk.take(Command::Send(sent(1, 1))).unwrap();
    desk.take(Command::Send(sent(2, 2))).unwrap();
    let through = desk.take(erase(EraseScope::Log, 1)).unwrap().erasure.unwrap().through;
    assert!(desk.0.open_runs().is_empty() && desk.0.recent_messages().next().is_none());
    let decision = desk.take(Command::Erased { receipt: receipt(1) }).unwrap();
    let [Entry::LogErased(entry)] = &decision.entries[..] else { panic!() };
    assert_eq!((entry.through, entry.receipt, entry.offset), (through, receipt(1), through.next()));
}

#[test]
fn del_8_a_message_after_the_intent_is_kept_and_follows_nothing_that_is_erased() {
    let mut desk = Desk::default();
    desk.take(Command::Send(sent(1, 1))).unwrap();
    desk.take(erase(thread(1), 1)).unwrap();
    assert!(desk.0.has_older(&Limits::DEFAULT), "the journal is asked");
    assert_eq!(desk.0.recent_parent(&thread_id(1), None), RecentParent::Older);
    // The journal may still have the message that is being erased.
    let named = SendCommand { older_parent: Some(Offset(1)), ..sent(2, 1) };
    let mut refused = named.clone();
    refused.message.parent = Some(Offset(1));
    assert_eq!(desk.take(Command::Send(refused)), Err(Refusal::NotFound));
    desk.take(Command::Send(named)).unwrap();
    assert_eq!(desk.0.recent_parent(&thread_id(1), None), RecentParent::Is(Offset(4)));
    desk.take(Command::Erased { receipt: receipt(1) }).unwrap();
    assert!(desk.0.has_recent(&thread_id(1)) && desk.0.open_runs().contains_key(&run_id(2)));
}

#[test]
fn del_6_a_retry_of_an_erased_message_gets_its_first_receipt() {
    let mut desk = Desk::default();
    desk.take(Command::Send(sent(1, 1))).unwrap();
    desk.take(erase(thread(1), 1)).unwrap();
    let receipt = Receipt { run_id: run_id(1), offset: Offset(1) };
    let retry = SendCommand { earlier: Some(receipt), run_id: run_id(9), ..sent(1, 1) };
    let decision = desk.take(Command::Send(retry)).unwrap();
    assert_eq!(decision.reply, Reply::Accepted { receipt, duplicate: true });
    assert!(decision.entries.is_empty());
}

#[test]
fn del_8_an_update_does_not_carry_the_title_of_an_erased_thread_on() {
    let mut desk = Desk::default();
    desk.take(Command::Send(sent(1, 1))).unwrap();
    desk.take(erase(thread(1), 1)).unwrap();
    let old = || Some(ThreadProperties { title: title("secret"), archived: true });
    assert_eq!(desk.take(update(None, Some(true), old())), Err(Refusal::NotFound), "nothing is left of it");
    desk.take(Command::Send(sent(2, 1))).unwrap();
    let decision = desk.take(update(None, Some(true), old())).unwrap();
    assert_eq!(properties(&decision), ThreadProperties { title: None, archived: true });
}

#[test]
fn erasures_are_bounded_and_may_be_repeated() {
    let mut desk = Desk::default();
    for id in 1..=8 {
        let erasure = desk.take(erase(thread(1), id)).unwrap().erasure.unwrap();
        assert_eq!(erasure.through, Offset::ZERO, "the log is empty");
    }
    assert_eq!(desk.take(erase(EraseScope::Log, 9)), Err(Refusal::LimitReached("erasures_open_max")));
    desk.take(Command::Erased { receipt: receipt(5) }).unwrap();
    desk.take(erase(thread(1), 9)).unwrap();
}

#[test]
fn the_end_of_an_unknown_erasure_is_refused() {
    let mut desk = Desk::default();
    desk.take(erase(thread(1), 1)).unwrap();
    let end = |through, of, id| {
        let change = ThreadChange::Erased { through: Offset(through), receipt: receipt(id) };
        Entry::Thread(ThreadEntry { offset: Offset(1), thread_id: thread_id(of), timestamp: AT, change })
    };
    for wrong in [end(1, 1, 1), end(0, 2, 1), end(0, 1, 2)] {
        let before = desk.0.clone();
        let misfit = desk.0.evolve(&wrong, &Limits::DEFAULT);
        assert!(matches!(misfit, Err(InvalidEntry::NoSuchErasure(_))), "{wrong:?}");
        assert_eq!(desk.0, before);
    }
    desk.0.evolve(&end(0, 1, 1), &Limits::DEFAULT).unwrap();
}

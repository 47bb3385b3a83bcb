//! The user machine under arbitrary commands in any order: the log stays legal, the fold of the log is the
//! live state, and a refused command changes nothing.

use proptest::{prelude::*, sample::Index};
use quintet_kernel::{
    entry::{Body, CallOwner, CallResult, Entry, RunErrorCode},
    ids::Offset,
    json::Json,
    run::{EarlyEnd, Ending},
    user::{AgentStep, OnBusy, Resumes},
};

use crate::{
    account::{Account, Attempt, LIMITS},
    cases::cases,
    make::{answer, call, call_id, error, failed, succeed},
    oracle::{self, LoggedRun},
};

fn attempt() -> impl Strategy<Value = Attempt> {
    let run = any::<u8>;
    let id = || 1..=4u8;
    let on_busy = prop_oneof![3 => Just(OnBusy::Enqueue), 1 => Just(OnBusy::Reject), 1 => Just(OnBusy::Interrupt), 2 => Just(OnBusy::Steer)];
    let cut = prop_oneof![
        Just(failed()),
        Just(EarlyEnd::TimedOut(error(RunErrorCode::StepTimeout))),
        Just(EarlyEnd::Interrupted(error(RunErrorCode::NodeLost))),
    ];
    let by = prop_oneof![Just(CallOwner::Agent), Just(CallOwner::Client)];
    let ok = || CallResult::ok(Json::null());
    let step = prop_oneof![
        4 => prop_oneof![Just("x"), Just("far too long")].prop_map(|delta| AgentStep::Think(answer(delta))),
        4 => (id(), by).prop_map(|(id, by)| AgentStep::Open(call(id, by))),
        3 => id().prop_map(move |id| AgentStep::Close { call_id: call_id(id), result: ok() }),
        2 => Just(AgentStep::Complete(succeed())),
        1 => Just(AgentStep::Complete(Ending::Cut(failed()))),
    ];
    prop_oneof![
        6 => (0..8u8, 0..3u8, on_busy, prop_oneof![9 => Just("hi"), 1 => Just("far too long")], prop::option::of(run()))
            .prop_map(|(message, thread, on_busy, text, parent)| {
                Attempt::Send { message, thread, on_busy, text, parent }
            }),
        12 => (run(), step).prop_map(|(run, step)| Attempt::Step(run, step)),
        2 => run().prop_map(Attempt::Cancel),
        2 => run().prop_map(Attempt::Take),
        3 => (run(), id()).prop_map(|(run, id)| Attempt::Answer(run, id)),
        1 => (run(), cut).prop_map(|(run, cut)| Attempt::Cut(run, cut)),
        1 => (run(), id()).prop_map(|(run, id)| Attempt::CloseCall(run, id)),
        1 => (run(), prop::collection::vec(id(), 0..2), 0..4u32, 0..5u32).prop_map(|(run, keep, without_step, total)| {
            Attempt::Resume(run, keep, Resumes { without_step, total })
        }),
        1 => (0..3u8, prop::option::of(prop::option::of(Just("a title"))), prop::option::of(any::<bool>()))
            .prop_map(|(thread, title, archived)| Attempt::Update(thread, title, archived)),
        1 => prop::option::weighted(0.8, 0..3u8).prop_map(Attempt::Erase),
        1 => run().prop_map(Attempt::Erased),
        1 => Just(Attempt::Crash),
    ]
}

/// Attempts around erasures, so that most of the time several are under way.
fn erasing_attempt() -> impl Strategy<Value = Attempt> {
    let (thread, index) = (0..2u8, any::<u8>());
    prop_oneof![
        6 => (0..12u8, thread.clone(), prop::option::of(any::<u8>())).prop_map(|(message, thread, parent)| {
            Attempt::Send { message, thread, on_busy: OnBusy::Interrupt, text: "hi", parent }
        }),
        2 => index.prop_map(Attempt::Cancel),
        2 => (thread.clone(), any::<bool>()).prop_map(|(thread, archived)| {
            Attempt::Update(thread, Some(Some("a title")), Some(archived))
        }),
        4 => prop::option::weighted(0.7, thread).prop_map(Attempt::Erase),
        2 => index.prop_map(Attempt::Erased),
        1 => Just(Attempt::Crash),
    ]
}

/// DEL-8: two erasures of one thread and one of the whole log are under way; they end in each order, with and without a
/// crash before each end.
#[test]
fn del_8_erasures_under_way_together_end_in_any_order() {
    let send = |message, thread| Attempt::Send {
        message,
        thread,
        on_busy: OnBusy::Interrupt,
        text: "hi",
        parent: None,
    };
    let begin = [
        send(1, 1),
        Attempt::Erase(Some(1)),
        send(2, 1),
        Attempt::Update(1, Some(Some("a title")), None),
        Attempt::Erase(Some(1)),
        send(3, 1),
        send(4, 2),
        Attempt::Erase(None),
        send(5, 1),
    ];
    // Each end names one of those that are left.
    for order in [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0], [2, 1, 0]] {
        for crashes in [false, true] {
            let mut account = Account::default();
            let take = |account: &mut Account, attempt: &Attempt| {
                let command = account.command(attempt).expect("it is a command");
                account.take(command).expect("it is accepted");
                account.check();
            };
            begin.iter().for_each(|attempt| take(&mut account, attempt));
            assert_eq!(account.state.erasures().len(), 3);
            for index in order {
                if crashes {
                    account.state = account.recovered();
                    account.check();
                }
                take(&mut account, &Attempt::Erased(index));
            }
            assert_eq!(account.state.erasures(), [], "{order:?}");
            let kept = account.state.recent_messages().map(|recent| recent.receipt.offset);
            assert_eq!(kept.count(), 1, "the message after all of them");
            account.wind_up();
        }
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// DEL-8: erasures of the same thread, of another and of the log, begun and ended in any order.
    #[test]
    fn del_8_any_erasures_under_way_together_leave_a_legal_log(
        attempts in prop::collection::vec(erasing_attempt(), 1..60),
    ) {
        let mut account = Account::default();
        for attempt in attempts {
            match account.command(&attempt) {
                Some(command) => {
                    let _refused_or_done = account.take(command);
                }
                None => account.state = account.recovered(),
            }
            account.check();
        }
        account.wind_up();
        prop_assert!(account.state.erasures().is_empty());
    }

    /// RUN-1 … RUN-8, RUN-10, DEL-6, DEL-8, and recovery, under arbitrary commands.
    #[test]
    fn any_commands_leave_a_legal_log(attempts in prop::collection::vec(attempt(), 1..60)) {
        let mut account = Account::default();
        for attempt in attempts {
            match account.command(&attempt) {
                Some(command) => {
                    let _refused_or_done = account.take(command);
                }
                None => account.state = account.recovered(),
            }
            account.check();
        }
        account.wind_up();
        let runs = oracle::runs(&account.log);
        prop_assert!(runs.iter().all(LoggedRun::ended), "RUN-6: every accepted run ends");
    }

    /// An entry at the wrong place, or a repeated event, leaves the state unchanged.
    #[test]
    fn entry_out_of_place_is_refused(
        attempts in prop::collection::vec(attempt(), 1..30), at in any::<Index>(), shift in 0..4u64,
    ) {
        let mut account = Account::default();
        for attempt in attempts {
            if let Some(command) = account.command(&attempt) {
                let _refused_or_done = account.take(command);
            }
        }
        let misfit = |entry: &&Entry| shift != 1 || matches!(entry.body(), Some(Body::Event { .. }));
        let misfits: Vec<&Entry> = account.log.iter().filter(misfit).collect();
        prop_assume!(!misfits.is_empty());
        let entry = (*at.get(&misfits)).clone().at(Offset(account.state.head().0 + shift));
        let before = account.state.clone();
        prop_assert!(account.state.evolve(&entry, &LIMITS).is_err());
        prop_assert_eq!(account.state, before);
    }
}

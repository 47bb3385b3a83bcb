//! The properties of nodes that race for one log, by rule.

use quintet::kernel::{
    entry::{Body, Entry, Event},
    user::UserState,
};
use stateright::Model;

use super::{FenceAction, FenceModel, FenceState, Node};
use crate::{
    checks,
    checks::{Check, Checked},
    law,
    vocabulary::{message_number, run_number},
};

impl Checked for FenceModel {
    const NAME: &str = "fence";

    fn checks() -> Vec<Check<Self>> {
        fn any_log(s: &FenceState, find: impl Fn(&Event) -> bool) -> bool {
            s.log.iter().any(|entry| matches!(entry.body(), Some(Body::Event { event, .. }) if find(event)))
        }
        fn kept(s: &FenceState, rule: &str) -> bool {
            s.broken != Some(rule)
        }
        checks![FenceModel;
            always ["RUN-1"] "agent_started comes first and once, whoever wrote it"
                case "a run succeeds" => |_, s| law::run_1(&s.log);
            always ["RUN-2"] "seq counts, whoever wrote it"
                case "a run succeeds" => |_, s| law::run_2(&s.log);
            always ["RUN-3"] "a thought before a call and before success, whoever wrote it"
                case "a run succeeds" => |_, s| law::run_3(&s.log);
            always ["RUN-4"] "each call opened once, closed once, whoever wrote it"
                case "a call closes as unknown" => |_, s| law::run_4(&s.log);
            always ["RUN-5"] "agent_completed last, whoever wrote it"
                case "a run succeeds" => |_, s| law::run_5(&s.log);
            always ["RUN-8"] "one active run a thread, whoever wrote it"
                case "one that waited runs" => |_, s| law::run_8(&s.log);
            always ["RUN-9"] "a tool acts once, after its call is durable; an orphan is not taken up"
                case "a tool acts for a node that has lost the log" => |_, s| kept(s, "RUN-9");
            always ["DEL-2"] "offsets count, whoever wrote them"
                case "every node has decided, and only one can win" => |_, s| law::del_2(&s.log);
            always ["DEL-5"] "what was promised is in the log for good"
                case "a promise is kept without the node that gave it" => |_, s| {
                let runs = law::runs(&s.log);
                s.told.iter().all(|(m, r)| {
                    runs.iter().any(|t| message_number(t.message_id) == *m && run_number(t.run_id) == *r)
                })
            };
            always ["DEL-6"] "one message, one run, whichever node was asked"
                case "a message is in the log, and its sender does not know" => |_, s| {
                law::del_6(&s.log) && s.told.windows(2).all(|pair| pair[0].0 != pair[1].0)
            };
            always ["DEL-7"] "nobody is told of a message that no append has brought into the log"
                case "an append fails while somebody waits for its promise" => |_, s| {
                let runs = law::runs(&s.log);
                s.told.iter().all(|(m, _)| runs.iter().any(|t| message_number(t.message_id) == *m))
            };
            always ["FOLD", "RECOVERY"] "what a node knows is the fold of what it read and decided"
                case "every node has decided, and only one can win" => |m, s| {
                kept(s, "FOLD")
                    && s.nodes.iter().all(|node| match node {
                        Node::Knows { view, batch, .. } => {
                            let durable = view.head().0 as usize - batch.len();
                            let seen: Vec<Entry> = s.log.iter().take(durable).chain(batch).cloned().collect();
                            let mut fold = UserState::default();
                            seen.iter().try_for_each(|e| m.machine.evolve(&mut fold, e, &m.limits)).is_ok()
                                && fold == *view
                        }
                        Node::Down | Node::Lost { .. } => true,
                    })
            };
            sometimes ["DEL-7"] "an append fails while somebody waits for its promise" => |m, s| {
                (0..m.nodes).any(|n| {
                    let waits = matches!(&s.nodes[usize::from(n)], Node::Knows { promise: Some(_), .. });
                    let failed = m.next_state(s, FenceAction::WriteFails(n));
                    waits && failed.is_some_and(|next| next.told == s.told && next.log == s.log)
                })
            };
            sometimes ["DEL-2", "RUN-8"] "every node has decided, and only one can win" => |_, s| {
                s.nodes.iter().all(|node| matches!(node, Node::Knows { batch, .. } if !batch.is_empty()))
            };
            sometimes ["RUN-9", "RUN-4"] "a call closes as unknown" => |_, s| {
                use quintet::kernel::entry::CallStatus::Unknown;
                any_log(s, |e| matches!(e, Event::ToolCompleted { result, .. } if result.status == Unknown))
            };
            sometimes ["RUN-9"] "a tool acts for a node that has lost the log" =>
                |_, s| matches!(&s.nodes[0], Node::Lost { armed } if !armed.is_empty());
            sometimes ["DEL-5", "FOLD", "RECOVERY"] "a promise is kept without the node that gave it" => |_, s| {
                !s.told.is_empty() && s.nodes[0] == Node::Down && any_log(s, |e| matches!(e, Event::Completed(_)))
            };
            sometimes ["RUN-8"] "one that waited runs" => |_, s| {
                law::runs(&s.log).iter().any(|run| {
                    run.events.first().is_some_and(|(began, ..)| *began > run.accepted.next())
                        && run.ended().is_none()
                })
            };
            sometimes ["DEL-6"] "a message is in the log, and its sender does not know" => |_, s| {
                let knows = |node: &Node| matches!(node, Node::Knows { batch, .. } if batch.is_empty());
                !s.log.is_empty() && s.told.is_empty() && s.nodes.iter().any(knows)
            };
            sometimes ["DEL-6"] "every message is told" => |m, s| s.told.len() == usize::from(m.messages);
            sometimes ["RUN-1", "RUN-2", "RUN-3", "RUN-5"] "a run succeeds" => |_, s| {
                use quintet::kernel::entry::RunStatus::Succeeded;
                any_log(s, |e| matches!(e, Event::Completed(c) if c.status == Succeeded))
            };
        ]
    }
}

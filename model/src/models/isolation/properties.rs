//! What is claimed of two users side by side, by rule.

use super::{IsolationModel, World, is_at_rest, run_of};
use crate::{
    checks,
    checks::{Check, Checked},
    vocabulary::{brief, run_number},
};

impl Checked for IsolationModel {
    const NAME: &str = "isolation";

    fn checks() -> Vec<Check<Self>> {
        fn kept(w: &World, rule: &str) -> bool {
            w.broken != Some(rule)
        }
        fn whose(w: &World, user: usize) -> bool {
            w.users[user].log.iter().all(|entry| entry.run_id().map(run_number) == Some(run_of(user)))
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

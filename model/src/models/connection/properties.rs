//! What is claimed of one connection, by rule.

use quintet::kernel::connection::{Cause, Effects, Input, Phase};

use super::{ConnectionModel, Watched, credential};
use crate::{
    checks,
    checks::{Check, Checked},
};

impl Checked for ConnectionModel {
    const NAME: &str = "connection";

    fn checks() -> Vec<Check<Self>> {
        fn kept(s: &Watched, rule: &str) -> bool {
            s.seen.broken != Some(rule)
        }
        fn closed(s: &Watched, cause: Cause) -> bool {
            s.seen.closed == Some(cause)
        }
        checks![ConnectionModel;
            always ["CONN-1"] "nothing has an effect before hello is accepted"
                case "it heard what it did not act on before hello" => |_, s| kept(s, "CONN-1");
            always ["CONN-2"] "ready is the first frame of an open connection, once"
                case "it is live" => |_, s| kept(s, "CONN-2");
            always ["CONN-3"] "nothing follows the close, and there is one"
                case "an input comes after the close, and is rejected" => |_, s| kept(s, "CONN-3");
            always ["CONN-4"] "what is not understood is answered and changes nothing, up to the limit"
                case "it is closed for what nobody understands" => |_, s| kept(s, "CONN-4");
            always ["DEL-2"] "entries are contiguous, caught_up comes once"
                case "it is closed for a hole" => |_, s| kept(s, "DEL-2");
            always ["DEL-3"] "it goes on behind the cursor, or says what is missing"
                case "it catches up after a gap" => |_, s| kept(s, "DEL-3");
            always ["DEL-4"] "what is outstanding is bounded"
                case "a command is under way" => |_, s| kept(s, "DEL-4");
            always ["DEL-7"] "an answer answers something"
                case "a command is under way" => |_, s| kept(s, "DEL-7");
            always ["ISO-1", "AUTH-5"] "it is of the user whose credential was accepted"
                case "it is closed for want of a credential" => |_, s| kept(s, "ISO-1");
            always ["AUTH-3"] "it does not outlive its credential"
                case "it expires after it was renewed or opened by another credential" =>
                    |_, s| kept(s, "AUTH-3");
            always ["UNCHANGED"] "a rejected input changes nothing and orders nothing"
                case "an input comes after the close, and is rejected" => |_, s| kept(s, "UNCHANGED");
            sometimes ["CONN-2"] "it is live" => |_, s| s.connection.phase() == Phase::Live;
            sometimes ["CONN-1"] "it heard what it did not act on before hello" => |_, s| {
                s.connection.phase() == Phase::Handshaking && s.seen.unclear > 0
            };
            sometimes ["DEL-2"] "it leaves, with entries still to come" => |_, s| {
                s.connection.phase() == Phase::Leaving
            };
            sometimes ["DEL-3"] "it catches up after a gap" => |_, s| {
                s.seen.caught_up && s.seen.asked.is_some_and(|a| a.after().is_some_and(|after| after.0 > s.seen.sent))
            };
            sometimes ["DEL-4", "DEL-7"] "a command is under way" => |_, s| s.seen.commands > 0;
            sometimes ["DEL-4"] "it does not read" => |_, s| closed(s, Cause::Stalled);
            sometimes ["AUTH-3"] "it expires after it was renewed or opened by another credential" => |_, s| {
                closed(s, Cause::Expired) && s.seen.ready && s.seen.armed == Some(credential(1).expires_at)
            };
            sometimes ["ISO-1", "AUTH-5"] "it is closed for want of a credential" =>
                |_, s| closed(s, Cause::Unauthenticated);
            sometimes ["CONN-4"] "it is closed for what nobody understands" =>
                |_, s| closed(s, Cause::TooManyUnclear);
            sometimes ["CONN-4"] "unclear frames are forgiven at a heartbeat, and it is closed for later ones" =>
                |_, s| closed(s, Cause::TooManyUnclear) && s.seen.forgiven;
            sometimes ["DEL-2"] "it is closed for a hole" => |_, s| closed(s, Cause::Discontinuous);
            sometimes ["CONN-3", "UNCHANGED"] "an input comes after the close, and is rejected" => |m, s| {
                s.seen.closed.is_some()
                    && m.machine.step(&mut s.connection.clone(), &Input::Ping(()), &mut Effects::new()).is_err()
            };
        ]
    }
}

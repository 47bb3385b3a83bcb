//! The properties of deliveries, by rule.

use quintet::kernel::connection::Phase;

use super::{DeliveryModel, DeliveryState, Drain, Frame, Link, Message, WIRE_FRAMES_MAX};
use crate::{
    checks,
    checks::{Check, Checked},
    law,
};

impl Checked for DeliveryModel {
    const NAME: &str = "delivery";

    fn checks() -> Vec<Check<Self>> {
        fn kept(s: &DeliveryState, rule: &str) -> bool {
            s.broken != Some(rule)
        }
        fn links(s: &DeliveryState) -> impl Iterator<Item = &Link> {
            s.links.iter().flatten()
        }
        checks![DeliveryModel;
            always ["DEL-1"] "nothing is sent before it is durable"
                case "entries are decided and not durable while a reader waits for them" =>
                    |_, s| kept(s, "DEL-1");
            always ["DEL-2"] "a client gets what follows, once"
                case "a client has everything" => |_, s| kept(s, "DEL-2");
            always ["DEL-3"] "a resume goes on behind the cursor, or says what is missing"
                case "a client is back, and goes on in the middle" => |_, s| kept(s, "DEL-3");
            always ["DEL-4"] "what is under way to one client is bounded"
                case "a reader is behind while the log grows" => |_, s| {
                links(s).all(|link| link.wire.len() <= WIRE_FRAMES_MAX)
            };
            always ["DEL-5"] "who is told has its message in the log"
                case "who was told is gone, and so is the hub" => |_, s| {
                kept(s, "DEL-5") && s.clients.iter().all(|c| !c.accepted || !law::runs(&s.log).is_empty())
            };
            always ["DEL-6"] "however often it is sent, it is one message"
                case "a message that the log has is sent again" => |_, s| law::del_6(&s.log);
            always ["CONN-6"] "when a drain is over, every run is over, and nothing is decided any more"
                case "a drained service still serves a reader" => |_, s| {
                s.drain != Drain::Drained
                    || law::runs(&s.log).iter().all(|told| told.ended().is_some())
                        && s.hub.as_ref().is_none_or(|hub| hub.batch.is_empty())
            };
            always ["FIT"] "the caller offers what the machine expects"
                case "a client has everything" => |_, s| kept(s, "FIT");
            always ["RECOVERY", "FOLD"] "a restart knows what was durable"
                case "a hub is down while a run is open" => |m, s| {
                kept(s, "FOLD")
                    && m.recovered(&s.log).is_some_and(|view| match &s.hub {
                        Some(hub) if hub.batch.is_empty() => view == hub.view,
                        _ => true,
                    })
            };
            sometimes ["DEL-2", "FIT"] "a client has everything" => |_, s| {
                s.log.len() > 3 && s.clients[0].after == s.log.len() as u64
            };
            sometimes ["DEL-1"] "entries are decided and not durable while a reader waits for them" => |_, s| {
                s.hub.as_ref().is_some_and(|hub| !hub.batch.is_empty())
                    && links(s).any(|link| link.fetch.is_some() && link.sent == s.log.len() as u64)
            };
            sometimes ["DEL-4"] "a reader is behind while the log grows" => |_, s| {
                links(s).any(|link| link.machine.phase() == Phase::Replaying && link.flushing)
                    && s.log.len() > 3
            };
            sometimes ["DEL-3"] "a client is back, and goes on in the middle" => |_, s| {
                s.clients[0].after > 0 && links(s).any(|l| matches!(l.wire[..], [Frame::Ready { .. }, ..]))
            };
            sometimes ["DEL-3"] "a client starts at a head that has moved on" => |_, s| {
                links(s).any(|link| {
                    link.looked_up.is_some_and(|head| head > 0 && head < s.log.len() as u64)
                })
            };
            sometimes ["DEL-3"] "a client is told of a gap" => |_, s| {
                links(s).any(|link| matches!(link.wire.first(), Some(Frame::Ready { gap: Some(_), .. })))
            };
            sometimes ["DEL-5"] "who was told is gone, and so is the hub" => |_, s| {
                s.hub.is_none() && s.clients.iter().any(|client| client.accepted)
            };
            sometimes ["DEL-6"] "a message that the log has is sent again" => |_, s| {
                !s.log.is_empty() && links(s).any(|link| link.message == Message::Sent)
            };
            sometimes ["DEL-5", "DEL-6"] "a message is accepted while nobody who sent it is there" => |_, s| {
                !s.log.is_empty()
                    && s.links.iter().all(Option::is_none)
                    && s.clients.iter().all(|c| !c.accepted)
            };
            sometimes ["RECOVERY", "FOLD"] "a hub is down while a run is open" => |_, s| {
                s.hub.is_none() && law::runs(&s.log).iter().any(|told| told.ended().is_none())
            };
            sometimes ["CONN-6"] "a drained service still serves a reader" => |_, s| {
                s.drain == Drain::Drained && links(s).any(|link| link.leaving.is_some())
            };
        ]
    }
}

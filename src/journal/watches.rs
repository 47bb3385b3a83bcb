//! The users of this node whose logs other nodes may append to, and the hints that they have (NODE-4).
//!
//! ```text
//!   a notification: key of a user ──▶ hint ──▶ wake the hub, which reads on
//!   a poll: positions of the watched users ──▶ those that moved and were not moved here ──▶ wake
//! ```
//!
//! A hint costs nothing but time if it is lost, and one read if it is wrong. There is no queue: hints of one user that come
//! before it wakes are one.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quintet_kernel::ids::{Epoch, UserId};
use tokio::sync::Notify;

use crate::Position;

/// The watched users of a journal. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Watches(Arc<Mutex<BTreeMap<WakeKey, Vec<Watched>>>>);

/// A number that stands for a user in a hint. It is no content, and two users rarely have the same one, which then costs a
/// read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WakeKey(pub u64);

impl WakeKey {
    /// Returns the key of a user in a journal that was created under the epoch `origin`.
    pub fn of(origin: Epoch, user_id: &UserId) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(origin.0.as_bytes()).update(user_id.as_str().as_bytes());
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        Self(u64::from_be_bytes(bytes))
    }
}

#[derive(Debug)]
struct Watched {
    user_id: UserId,
    wake: Arc<Notify>,
    /// The position that is known here, by a poll or an own append.
    position: Option<Position>,
}

/// A guard: its user is watched until it is dropped.
#[derive(Debug, Default)]
pub struct Watch(Option<(Watches, WakeKey, Arc<Notify>)>);

impl Watches {
    /// Watches the log of a user: each hint notifies `wake`.
    pub fn watch(&self, key: WakeKey, user_id: &UserId, wake: Arc<Notify>) -> Watch {
        let watched = Watched { user_id: user_id.clone(), wake: wake.clone(), position: None };
        self.users().entry(key).or_default().push(watched);
        Watch(Some((self.clone(), key, wake)))
    }

    /// Wakes the users of a key.
    pub fn hint(&self, key: WakeKey) {
        self.users().get(&key).into_iter().flatten().for_each(|watched| watched.wake.notify_one());
    }

    /// Wakes every user, since hints may have been lost.
    pub fn hint_all(&self) {
        self.users().values().flatten().for_each(|watched| watched.wake.notify_one());
    }

    /// Records that this node has moved the log of a user.
    pub fn moved(&self, key: WakeKey, user_id: &UserId, to: Position) {
        self.each(key, user_id, |watched| watched.position = Some(to));
    }

    /// Takes the position of a log as a poll found it. Wakes the user if it is another one than was known.
    pub fn found(&self, key: WakeKey, user_id: &UserId, at: Position) {
        self.each(key, user_id, |watched| {
            // An own append may have moved it since the poll read it.
            if watched.position.is_none_or(|known| (known.head, known.fence) < (at.head, at.fence)) {
                watched.position = Some(at);
                watched.wake.notify_one();
            }
        });
    }

    /// Returns at most about `max` watched users after a key, in order of their keys, and the last of these keys.
    pub fn page(&self, after: Option<WakeKey>, max: usize) -> (Vec<UserId>, Option<WakeKey>) {
        let users = self.users();
        let bound = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut page, mut last) = (Vec::new(), None);
        for (key, watched) in users.range((bound, Bound::Unbounded)) {
            if page.len() >= max {
                break;
            }
            page.extend(watched.iter().map(|watched| watched.user_id.clone()));
            last = Some(*key);
        }
        (page, last)
    }

    /// Returns true if no user is watched.
    pub fn is_empty(&self) -> bool {
        self.users().is_empty()
    }

    fn each(&self, key: WakeKey, user_id: &UserId, act: impl FnMut(&mut Watched)) {
        let mut users = self.users();
        let watched = users.get_mut(&key).into_iter().flatten();
        watched.filter(|watched| watched.user_id == *user_id).for_each(act);
    }

    /// Locks the users. The lock cannot be poisoned: nothing panics while it is held.
    fn users(&self) -> MutexGuard<'_, BTreeMap<WakeKey, Vec<Watched>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some((watches, key, wake)) = self.0.take() else { return };
        let mut users = watches.users();
        if let Some(of_key) = users.get_mut(&key) {
            of_key.retain(|watched| !Arc::ptr_eq(&watched.wake, &wake));
            if of_key.is_empty() {
                users.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use quintet_kernel::ids::Offset;

    use super::*;
    use crate::Fence;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn at(head: u64, fence: u64) -> Position {
        Position { head: Offset(head), fence: Fence(fence) }
    }

    fn woken(wake: &Notify) -> bool {
        wake.notified().now_or_never().is_some()
    }

    /// Two users of one key, and one of another.
    fn three() -> (Watches, [Arc<Notify>; 3], [Watch; 3]) {
        let watches = Watches::default();
        let wakes: [Arc<Notify>; 3] = Default::default();
        let guards = [(1, "ann"), (1, "bob"), (2, "cay")];
        let mut number = 0;
        let guards = guards.map(|(key, name)| {
            let wake = wakes[number].clone();
            number += 1;
            watches.watch(WakeKey(key), &user(name), wake)
        });
        (watches, wakes, guards)
    }

    #[test]
    fn node_4_hints_wake_the_users_of_their_key_once_until_they_read() {
        let (watches, [ann, bob, cay], _guards) = three();
        watches.hint(WakeKey(1));
        watches.hint(WakeKey(1));
        watches.hint(WakeKey(7));
        assert_eq!([woken(&ann), woken(&bob), woken(&cay)], [true, true, false]);
        assert!(!woken(&ann), "hints before the wake-up are one");
        watches.hint_all();
        assert_eq!([woken(&ann), woken(&bob), woken(&cay)], [true, true, true]);
    }

    #[test]
    fn node_4_poll_wakes_the_users_whose_logs_were_moved_elsewhere() {
        let (watches, [ann, bob, _], _guards) = three();
        let (key, name) = (WakeKey(1), user("ann"));
        watches.found(key, &name, at(5, 0));
        assert!(woken(&ann), "what was read before the watch began is not known");
        watches.found(key, &name, at(5, 0));
        assert!(!woken(&ann));
        watches.moved(key, &name, at(7, 0));
        watches.found(key, &name, at(7, 0));
        assert!(!woken(&ann), "it was moved here");
        watches.found(key, &name, at(6, 0));
        assert!(!woken(&ann), "the poll read it before");
        watches.found(key, &name, at(7, 1));
        assert!(woken(&ann), "a run was taken over without an entry");
        assert!(!woken(&bob));
    }

    #[test]
    fn iso_5_users_that_are_gone_are_not_watched() {
        let (watches, [ann, bob, _], [first, second, third]) = three();
        assert_eq!(watches.page(None, 1), (vec![user("ann"), user("bob")], Some(WakeKey(1))));
        assert_eq!(watches.page(Some(WakeKey(1)), 9), (vec![user("cay")], Some(WakeKey(2))));
        assert_eq!(watches.page(Some(WakeKey(2)), 9), (vec![], None));
        drop(first);
        watches.hint(WakeKey(1));
        assert_eq!([woken(&ann), woken(&bob)], [false, true]);
        drop((second, third, Watch::default()));
        assert!(watches.is_empty());
    }

    #[test]
    fn keys_depend_on_the_journal_and_the_user() {
        let (a, b) = (Epoch(uuid::Uuid::from_u128(1)), Epoch(uuid::Uuid::from_u128(2)));
        let keys = [WakeKey::of(a, &user("ann")), WakeKey::of(a, &user("bob")), WakeKey::of(b, &user("ann"))];
        assert_eq!(keys[0], WakeKey::of(a, &user("ann")));
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
    }
}

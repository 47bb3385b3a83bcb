//! ISO-5 under every schedule: no lease ever reaches a dropped value, two values of one key are never in use
//! at once, and nothing is left at the end.

#![cfg(quintet_loom)]

use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use quintet_user::registry::{Lease, Registry};

mod bound;

/// A user's machines, reduced to what the registry needs: whether they still exist.
struct Machines {
    alive: Arc<AtomicUsize>,
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

fn attach(registry: &Registry<u8, Machines>, alive: &Arc<AtomicUsize>) -> Lease<u8, Machines> {
    registry.lease(&7, || {
        alive.fetch_add(1, Ordering::AcqRel);
        Machines { alive: alive.clone() }
    })
}

fn one_comes_while_another_goes() {
    let registry = Registry::new();
    let alive = Arc::new(AtomicUsize::new(0));
    let other = {
        let (registry, alive) = (registry.clone(), alive.clone());
        thread::spawn(move || {
            let first = attach(&registry, &alive);
            let second = first.clone();
            drop(first);
            drop(second);
        })
    };
    let first = attach(&registry, &alive);
    assert_eq!(registry.len(), 1, "what a lease holds can be found");
    let again = attach(&registry, &alive);
    assert!(std::ptr::eq(&*first, &*again), "two machines of one user at once");
    drop(first);
    assert_eq!(registry.len(), 1, "what a lease holds can be found");
    drop(again);
    other.join().unwrap();
    assert!(registry.is_empty(), "ISO-5");
    assert_eq!(alive.load(Ordering::Acquire), 0, "ISO-5: memory too");
}

fn two_go_while_one_comes_back() {
    let registry = Registry::new();
    let alive = Arc::new(AtomicUsize::new(0));
    let leases: Vec<_> = (0..2).map(|_| attach(&registry, &alive)).collect();
    let going: Vec<_> = leases.into_iter().map(|lease| thread::spawn(move || drop(lease))).collect();
    let back = attach(&registry, &alive);
    assert_eq!(registry.len(), 1, "what a lease holds can be found");
    drop(back);
    going.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(registry.is_empty(), "ISO-5");
    assert_eq!(alive.load(Ordering::Acquire), 0, "ISO-5: memory too");
}

#[test]
fn iso_5_all_leases_of_a_key_reach_the_same_value() {
    bound::check(one_comes_while_another_goes);
}

#[test]
fn iso_5_last_two_leases_may_go_at_once() {
    bound::check(two_go_while_one_comes_back);
}

//! ISO-5 under every schedule: no lease ever reaches a dropped value, two values of one key are never in use
//! at once, and nothing is left at the end.

use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A user's machines, reduced to what the registry needs: whether they still exist.
struct Machines {
    alive: Arc<AtomicUsize>,
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

mod bound;

/// The scenes, for the shipped registry and for its mutant.
macro_rules! scenes {
    ($registry:ident) => {
        use quintet_schedules::$registry::{Lease, Registry};

        use super::*;

        fn attach(registry: &Registry<u8, Machines>, alive: &Arc<AtomicUsize>) -> Lease<u8, Machines> {
            registry.lease(&7, || {
                alive.fetch_add(1, Ordering::AcqRel);
                Machines { alive: alive.clone() }
            })
        }

        pub fn one_comes_while_another_goes() {
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

        pub fn two_go_while_one_comes_back() {
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
    };
}

mod shipped {
    scenes!(registry);
}

#[allow(dead_code, reason = "one scene is enough to see it")]
mod mutant {
    scenes!(mutant_registry);
}

#[test]
fn iso_5_all_leases_of_a_key_reach_the_same_value() {
    bound::check(shipped::one_comes_while_another_goes);
}

#[test]
fn iso_5_last_two_leases_may_go_at_once() {
    bound::check(shipped::two_go_while_one_comes_back);
}

#[test]
#[should_panic(expected = "what a lease holds can be found")]
fn registry_that_does_not_check_again_is_caught() {
    bound::check(mutant::two_go_while_one_comes_back);
}

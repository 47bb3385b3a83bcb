//! Replaces the wall clock and the random part of ids in a simulation.
//!
//! Guarantee: a simulation applies only to the thread that called [`enter`], until the returned guard is
//! dropped. Secrets are never simulated.

use std::{cell::RefCell, marker::PhantomData, rc::Rc};

use quintet_kernel::ids::Timestamp;

/// The simulated clock and randomness.
pub trait World {
    /// Returns the wall-clock time.
    fn now(&self) -> Timestamp;

    /// Returns the random part of an id.
    fn random(&self) -> [u8; 10];
}

/// A guard for an active simulation, which ends on drop.
#[must_use = "a simulation ends when this is dropped"]
pub struct Entered {
    /// Makes the guard `!Send`, since the simulation is thread-local.
    _here: PhantomData<*const ()>,
}

thread_local! {
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// Activates `world` on this thread, replacing any other.
pub fn enter(world: Rc<dyn World>) -> Entered {
    WORLD.set(Some(world));
    Entered { _here: PhantomData }
}

/// Calls `question` with the active world. Returns `None` without a simulation, as always in production.
pub(super) fn ask<T>(question: impl FnOnce(&dyn World) -> T) -> Option<T> {
    // Thread-local storage is unavailable while the thread exits; there is no simulation then.
    let world = WORLD.try_with(|world| world.borrow().clone()).ok().flatten();
    world.map(|world| question(&*world))
}

impl Drop for Entered {
    fn drop(&mut self) {
        WORLD.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, ids};

    struct Fixed;

    impl World for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp(1_000)
        }

        fn random(&self) -> [u8; 10] {
            [7; 10]
        }
    }

    #[test]
    fn a_simulation_is_in_force_on_its_thread_until_it_ends() {
        let entered = enter(Rc::new(Fixed));
        assert_eq!(clock::now(), Timestamp(1_000));
        assert_eq!(ids::fresh(), ids::fresh());
        assert_eq!((ids::fresh().get_version_num(), ids::fresh().as_u128() >> 80), (7, 1_000));
        let elsewhere = std::thread::spawn(|| (clock::now(), ids::fresh() == ids::fresh()));
        let (now, same) = elsewhere.join().unwrap();
        assert!(now > Timestamp(1_000) && !same);
        drop(entered);
        assert!(clock::now() > Timestamp(1_000));
    }
}

//! What a simulation puts in the place of the wall's clock and of what makes ids differ.
//!
//! Guarantee: it is in force on the one thread that called [`enter`], until what that returned is
//! dropped, and nowhere else. Secrets are never simulated.

use std::{cell::RefCell, marker::PhantomData, rc::Rc};

use crate::kernel::ids::Timestamp;

/// The world that a simulation makes up.
pub trait World {
    /// What the wall's clock shows.
    fn now(&self) -> Timestamp;

    /// What makes an id differ from others of the same millisecond.
    fn random(&self) -> [u8; 10];
}

/// A simulation is in force while this lives.
#[must_use = "a simulation ends when this is dropped"]
pub struct Entered {
    /// Stays on its thread.
    _here: PhantomData<*const ()>,
}

thread_local! {
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// Puts `world` in force on this thread, in place of whichever was.
pub fn enter(world: Rc<dyn World>) -> Entered {
    WORLD.set(Some(world));
    Entered { _here: PhantomData }
}

/// What the world in force says; `None` if none is, which is always but in tests.
pub(super) fn ask<T>(question: impl FnOnce(&dyn World) -> T) -> Option<T> {
    // At the end of a thread there is no simulation any more.
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
    use crate::runtime::{clock, ids};

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

//! Finds a user's machines while anybody holds a lease on them, and makes them when nobody does.
//!
//! Guarantee (ISO-5): at any moment there is at most one value for a key that a lease can reach, and
//! when the last lease on it is dropped the value is gone. Getting a lease and letting the last one
//! go may race: both settle it under the same lock.

use std::{
    collections::{HashMap, hash_map},
    hash::Hash,
};

use super::sync::{Arc, AtomicUsize, Mutex, Ordering};

/// Values that live as long as somebody holds a lease on them. Cloning shares them.
pub struct Registry<K, T> {
    slots: Arc<Mutex<Slots<K, T>>>,
}

type Slots<K, T> = HashMap<K, Arc<Slot<K, T>>>;

struct Slot<K, T> {
    key: K,
    value: T,
    leases: AtomicUsize,
}

/// Keeps one value alive. Cloning takes another lease.
pub struct Lease<K: Hash + Eq + Clone, T> {
    slot: Arc<Slot<K, T>>,
    registry: Registry<K, T>,
}

impl<K: Hash + Eq + Clone, T> Registry<K, T> {
    pub fn new() -> Self {
        Self { slots: Arc::new(Mutex::new(HashMap::new())) }
    }

    /// A lease on the value of `key`, which `make` makes if there is none.
    pub fn lease(&self, key: &K, make: impl FnOnce() -> T) -> Lease<K, T> {
        let mut slots = self.slots.lock();
        let slot = match slots.entry(key.clone()) {
            hash_map::Entry::Occupied(occupied) => occupied.get().clone(),
            hash_map::Entry::Vacant(vacant) => {
                let slot = Slot { key: key.clone(), value: make(), leases: AtomicUsize::new(0) };
                vacant.insert(Arc::new(slot)).clone()
            }
        };
        // Counted under the lock: whoever let the last lease go looks again under the lock.
        slot.leases.fetch_add(1, Ordering::AcqRel);
        Lease { slot, registry: self.clone() }
    }

    /// How many values are alive.
    pub fn len(&self) -> usize {
        self.slots.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq + Clone, T> Default for Registry<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, T> Clone for Registry<K, T> {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone() }
    }
}

impl<K: Hash + Eq + Clone, T> Lease<K, T> {
    pub fn key(&self) -> &K {
        &self.slot.key
    }
}

impl<K: Hash + Eq + Clone, T> std::ops::Deref for Lease<K, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.slot.value
    }
}

impl<K: Hash + Eq + Clone, T> Clone for Lease<K, T> {
    fn clone(&self) -> Self {
        // No lock: this lease keeps the count above zero.
        self.slot.leases.fetch_add(1, Ordering::AcqRel);
        Self { slot: self.slot.clone(), registry: self.registry.clone() }
    }
}

impl<K: Hash + Eq + Clone, T> Drop for Lease<K, T> {
    fn drop(&mut self) {
        if self.slot.leases.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let mut slots = self.registry.slots.lock();
        // Since the count fell to zero somebody may have leased the slot anew, or have let it go
        // and removed it, and another may stand in its place.
        let idle = self.slot.leases.load(Ordering::Acquire) == 0;
        if idle && slots.get(&self.slot.key).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot)) {
            slots.remove(&self.slot.key);
        }
    }
}

#[cfg(all(test, not(any(quintet_loom, quintet_shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn iso_5_a_value_lives_exactly_as_long_as_its_leases() {
        let registry = Registry::<&str, std::sync::Arc<()>>::new();
        let value = std::sync::Arc::new(());
        let first = registry.lease(&"ann", || value.clone());
        let second = registry.lease(&"ann", || unreachable!("there is one already"));
        let third = second.clone();
        drop((first, second));
        assert_eq!(registry.len(), 1);
        drop(third);
        assert!(registry.is_empty());
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }

    #[test]
    fn a_value_is_made_anew_after_the_last_lease() {
        let registry = Registry::<u8, u32>::new();
        assert_eq!(*registry.lease(&7, || 1), 1);
        assert_eq!(*registry.lease(&7, || 2), 2);
    }
}

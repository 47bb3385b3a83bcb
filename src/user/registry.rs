//! A registry of values that live as long as a lease on them exists.
//!
//! Guarantee (ISO-5): at any time there is at most one value per key that a lease can reach, and the value is
//! dropped with its last lease. Taking a lease and dropping the last one may race; both are decided under the
//! same lock.

use std::{
    collections::{HashMap, hash_map},
    hash::Hash,
};

use super::sync::{Arc, AtomicUsize, Mutex, Ordering};

/// The registry. Clones share it.
pub struct Registry<K, T> {
    slots: Arc<Mutex<Slots<K, T>>>,
}

type Slots<K, T> = HashMap<K, Arc<Slot<K, T>>>;

struct Slot<K, T> {
    key: K,
    value: T,
    leases: AtomicUsize,
}

/// A lease, which keeps one value alive. A clone is another lease.
pub struct Lease<K: Hash + Eq + Clone, T> {
    slot: Arc<Slot<K, T>>,
    registry: Registry<K, T>,
}

impl<K: Hash + Eq + Clone, T> Registry<K, T> {
    /// Creates an empty registry.
    pub fn new() -> Self {
        Self { slots: Arc::new(Mutex::new(HashMap::new())) }
    }

    /// Returns a lease on the value of `key`, creating the value with `make` if there is none.
    pub fn lease(&self, key: &K, make: impl FnOnce() -> T) -> Lease<K, T> {
        let mut slots = self.slots.lock();
        let slot = match slots.entry(key.clone()) {
            hash_map::Entry::Occupied(occupied) => occupied.get().clone(),
            hash_map::Entry::Vacant(vacant) => {
                let slot = Slot { key: key.clone(), value: make(), leases: AtomicUsize::new(0) };
                vacant.insert(Arc::new(slot)).clone()
            }
        };
        // Counted under the lock: a thread that dropped the last lease checks the count again under the lock.
        slot.leases.fetch_add(1, Ordering::AcqRel);
        Lease { slot, registry: self.clone() }
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.slots.lock().len()
    }

    /// Returns whether the registry has no values.
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
    /// Returns the key of the value.
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
        // No lock is needed: this lease keeps the count above zero.
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
        // Since the count fell to zero, another thread may have leased the slot again, or removed it and
        // inserted another.
        let idle = self.slot.leases.load(Ordering::Acquire) == 0;
        if idle && slots.get(&self.slot.key).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot)) {
            slots.remove(&self.slot.key);
        }
    }
}

#[cfg(test)]
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

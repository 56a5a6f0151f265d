//! Images that were seen lately, by the hash of their bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::picture::Picture;

/// SHA-256: whoever could make two images of one key could show another client's answers.
pub(super) type Key = [u8; 32];

/// More are not kept however small they are: each turn of a full cache looks at all of them.
const MAX_ENTRIES: usize = 4096;

#[derive(Debug)]
pub(super) struct Cache {
    max_bytes: u64,
    entries: Mutex<Entries>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Entries {
    clock: u64,
    pictures: HashMap<Key, (Arc<Picture>, u64)>,
}

pub(super) fn key(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

impl Cache {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, entries: Mutex::default(), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Picture>> {
        let mut entries = self.lock();
        entries.clock += 1;
        let clock = entries.clock;
        let found = entries.pictures.get_mut(key).map(|(picture, used)| {
            *used = clock;
            picture.clone()
        });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps a picture, and drops those that were used longest ago until all fit. Views that were made since count too.
    pub(super) fn put(&self, key: Key, picture: Arc<Picture>) {
        let mut entries = self.lock();
        entries.clock += 1;
        let clock = entries.clock;
        entries.pictures.insert(key, (picture, clock));
        let mut bytes: u64 = entries.pictures.values().map(|(picture, _)| picture.held_bytes()).sum();
        while bytes > self.max_bytes || entries.pictures.len() > MAX_ENTRIES {
            let oldest = entries.pictures.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            let Some((picture, _)) = oldest.and_then(|key| entries.pictures.remove(&key)) else { break };
            bytes = bytes.saturating_sub(picture.held_bytes());
        }
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// Whole at any moment, whatever became of the thread that held it.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;
    use visionthink_image::{DecodeOptions, RgbImage};

    use super::*;

    fn picture(side: u32) -> (Key, Arc<Picture>) {
        let pixels = (0..side * side * 3).map(|value| (value * 7919 % 251) as u8).collect();
        let png = RgbImage::new(side, side, pixels).unwrap().encode_png().unwrap();
        let key = key(&png);
        let decoders = Arc::new(Semaphore::new(1));
        (key, Arc::new(Picture::new(png.into(), DecodeOptions::default(), decoders).unwrap()))
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let pictures = [picture(30), picture(31), picture(32)];
        let bytes = |range: std::ops::Range<usize>| pictures[range].iter().map(|(_, p)| p.held_bytes()).sum::<u64>();
        let cache = Cache::new(bytes(0..3) - 1);
        cache.put(pictures[0].0, pictures[0].1.clone());
        cache.put(pictures[1].0, pictures[1].1.clone());
        assert!(cache.get(&pictures[0].0).is_some());
        cache.put(pictures[2].0, pictures[2].1.clone());
        assert!(cache.get(&pictures[0].0).is_some());
        assert!(cache.get(&pictures[1].0).is_none());
        assert!(cache.get(&pictures[2].0).is_some());
        assert_eq!(cache.counts(), (3, 1));
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let (key, picture) = picture(30);
        let cache = Cache::new(0);
        cache.put(key, picture);
        assert!(cache.get(&key).is_none());
    }
}

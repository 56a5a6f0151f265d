//! Image tokens of images that were seen before.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use visionthink_image::{GridThw, Patches};

use crate::entering::ImageRows;

/// What an image is known by: its grid and a hash of its values under a key of this process.
pub(crate) type ImageKey = (GridThw, u64);

/// The vision tower's output by content, least recently used first to go.
///
/// Demonstrations and evaluations ask many questions about one picture, and the view that is low for one is the whole
/// image for another: encoding it once is worth a hash over its values.
#[derive(Debug)]
pub(crate) struct ImageCache {
    entries: HashMap<ImageKey, Entry>,
    hashing: RandomState,
    tokens: usize,
    max_tokens: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    rows: ImageRows,
    used: u64,
}

impl ImageCache {
    /// Holds up to `max_tokens` image tokens.
    pub(crate) fn new(max_tokens: usize) -> Self {
        Self { entries: HashMap::new(), hashing: RandomState::new(), tokens: 0, max_tokens, clock: 0 }
    }

    pub(crate) fn key(&self, image: &Patches) -> ImageKey {
        let mut hasher = self.hashing.build_hasher();
        hasher.write(bytemuck::cast_slice(&image.values));
        (image.grid, hasher.finish())
    }

    pub(crate) fn get(&mut self, key: &ImageKey) -> Option<ImageRows> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(entry.rows.clone())
    }

    /// Keeps the rows of an image; what does not fit at all is not kept.
    pub(crate) fn insert(&mut self, key: ImageKey, rows: ImageRows) {
        let size = rows.tokens();
        if size > self.max_tokens || self.entries.contains_key(&key) {
            return;
        }
        while self.tokens + size > self.max_tokens {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            let Some(entry) = oldest.and_then(|key| self.entries.remove(&key)) else { break };
            self.tokens -= entry.rows.tokens();
        }
        self.tokens += size;
        self.clock += 1;
        self.entries.insert(key, Entry { rows, used: self.clock });
    }
}

#[cfg(test)]
mod tests {
    use burn::Tensor;
    use burn::tensor::Device;

    use super::*;

    fn image(value: f32) -> Patches {
        Patches { values: vec![value; 8], grid: GridThw { t: 1, h: 2, w: 2 } }
    }

    fn rows(tokens: usize) -> ImageRows {
        ImageRows { rows: Tensor::zeros([tokens, 3], &Device::flex()), whole: tokens, kept: None }
    }

    #[test]
    fn an_image_is_known_by_its_content() {
        let mut cache = ImageCache::new(10);
        let key = cache.key(&image(1.0));
        cache.insert(key, rows(1));
        assert!(cache.get(&cache.key(&image(1.0))).is_some());
        assert!(cache.get(&cache.key(&image(2.0))).is_none());
        let turned = Patches { grid: GridThw { t: 1, h: 1, w: 4 }, ..image(1.0) };
        assert!(cache.get(&cache.key(&turned)).is_none());
    }

    #[test]
    fn the_image_used_longest_ago_makes_room() {
        let mut cache = ImageCache::new(10);
        let keys: Vec<ImageKey> = (0..3).map(|value| cache.key(&image(value as f32))).collect();
        cache.insert(keys[0], rows(4));
        cache.insert(keys[1], rows(4));
        cache.get(&keys[0]);
        cache.insert(keys[2], rows(5));
        let held: Vec<bool> = keys.iter().map(|key| cache.get(key).is_some()).collect();
        assert_eq!(held, [true, false, true]);
        assert_eq!(cache.tokens, 9);
    }

    #[test]
    fn an_image_larger_than_the_cache_is_not_kept() {
        let mut cache = ImageCache::new(3);
        let key = cache.key(&image(1.0));
        cache.insert(key, rows(4));
        assert!(cache.get(&key).is_none());
    }
}

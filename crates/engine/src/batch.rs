//! The rows that are decoded together.

use visionthink_model::KvCache;

use crate::row::Row;

/// Rows and their cache, in one order. Rows join and leave between steps.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    /// `None` exactly where there are no rows.
    pub(crate) cache: Option<KvCache>,
}

impl Batch {
    pub(crate) fn new(rows: Vec<Row>, cache: KvCache) -> Self {
        assert_eq!(rows.len(), cache.batch(), "a row of the cache for every row");
        Self { cache: (!rows.is_empty()).then_some(cache), rows }
    }

    /// Takes in the rows of other batches, behind its own.
    pub(crate) fn join(&mut self, others: Vec<Self>) {
        let mut caches: Vec<KvCache> = self.cache.take().into_iter().collect();
        for other in others {
            self.rows.extend(other.rows);
            caches.extend(other.cache);
        }
        // One cache is moved, not copied: a single conversation never pays for batching.
        self.cache = if caches.len() > 1 { Some(KvCache::concat(&caches)) } else { caches.pop() };
    }

    /// Takes out rows that go on later, each as a batch of its own.
    pub(crate) fn take_running(&mut self, taken: &[usize]) -> Vec<Self> {
        if taken.is_empty() {
            return Vec::new();
        }
        let Some(cache) = self.cache.take() else { return Vec::new() };
        let staying: Vec<usize> = (0..self.rows.len()).filter(|row| !taken.contains(row)).collect();
        let (mut leaving, mut running) = (Vec::with_capacity(taken.len()), Vec::with_capacity(staying.len()));
        for (index, mut row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            if taken.contains(&index) {
                row.tokens_since_join = 0;
                leaving.push(Self::new(vec![row], take_rows(&cache, &[index])));
            } else {
                running.push(row);
            }
        }
        self.cache = (!staying.is_empty()).then(|| take_rows(&cache, &staying));
        self.rows = running;
        leaving
    }

    /// Takes out the rows that have ended, each with its own cache unless it was released.
    pub(crate) fn take_ended(&mut self) -> Vec<Row> {
        if self.rows.iter().all(|row| row.outcome.is_none()) {
            return Vec::new();
        }
        let Some(cache) = self.cache.take() else { return Vec::new() };
        let staying: Vec<usize> = (0..self.rows.len()).filter(|row| self.rows[*row].outcome.is_none()).collect();
        let (mut ended, mut running) = (Vec::new(), Vec::new());
        for (index, mut row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            match row.outcome {
                None => running.push(row),
                Some(Ok(_)) if !row.released => {
                    row.sequence.cache = Some(take_rows(&cache, &[index]));
                    ended.push(row);
                }
                Some(_) => ended.push(row),
            }
        }
        self.cache = (!staying.is_empty()).then(|| take_rows(&cache, &staying));
        self.rows = running;
        ended
    }
}

/// The rows given, without the columns that only others used.
pub(crate) fn take_rows(cache: &KvCache, rows: &[usize]) -> KvCache {
    if cache.batch() == 1 && rows == [0] {
        return cache.clone();
    }
    let mut taken = cache.select(rows);
    taken.compact();
    taken
}

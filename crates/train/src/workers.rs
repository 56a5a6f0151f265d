//! Passes that run at the same time.
//!
//! Many small operations do not fill two threads well: their cost is in starting and joining. With more than one worker each runs whole
//! passes on one thread, with a replica of the model whose operations stay on that thread.

use burn::module::Module;
use rayon::{ThreadPool, ThreadPoolBuilder};
use visionthink_model::Model;

/// Replicas of the model, each with its own thread.
#[derive(Debug)]
pub struct Workers {
    replicas: Vec<Model>,
    /// One pool of one thread for each replica; empty where a single replica uses all threads.
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// `count` workers with equal replicas of `model`.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new(model: Model, count: usize) -> Result<Self, std::io::Error> {
        let one_thread = || ThreadPoolBuilder::new().num_threads(1).build().map_err(std::io::Error::other);
        let pools = if count > 1 { (0..count).map(|_| one_thread()).collect::<Result<_, _>>()? } else { Vec::new() };
        // Clones share their leaves, and so one autodiff graph: passes would wait for each other, and burn 0.22.1 takes the lock of a
        // graph and the one of all graphs in either order, which ends in a deadlock. A fork has leaves of its own.
        let device = model.device();
        let replicas = (0..count.max(1)).map(|_| model.clone().fork(&device)).collect();
        Ok(Self { replicas, pools })
    }

    /// The first replica.
    pub fn model(&self) -> &Model {
        &self.replicas[0]
    }

    /// Changes every replica.
    pub fn update(&mut self, change: impl Fn(Model) -> Model) {
        self.replicas = std::mem::take(&mut self.replicas).into_iter().map(change).collect();
    }

    /// Runs `work` on every job; job `i` goes to worker `i mod count`, and the results come in the order of the jobs. The same jobs
    /// give the same results however threads are scheduled.
    pub fn run<J: Sync, R: Send>(&self, jobs: &[J], work: impl Fn(&Model, &J) -> R + Sync) -> Vec<R> {
        if self.pools.is_empty() {
            return jobs.iter().map(|job| work(&self.replicas[0], job)).collect();
        }
        let count = self.pools.len();
        let work = &work;
        let mut per_worker: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .pools
                .iter()
                .zip(&self.replicas)
                .enumerate()
                .map(|(worker, (pool, model))| {
                    let mine = jobs.iter().skip(worker).step_by(count);
                    scope.spawn(move || {
                        pool.install(|| mine.map(|job| work(model, job)).collect::<Vec<R>>()).into_iter()
                    })
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            threads.into_iter().map(join).collect()
        });
        (0..jobs.len()).filter_map(|job| per_worker[job % count].next()).collect()
    }
}

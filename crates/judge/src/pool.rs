//! Many questions at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::client::Client;
use crate::error::Result;
use crate::judgement::Judgement;
use crate::prompt::Prompt;

/// Asks all prompts, at most [`crate::JudgeEndpoint::concurrency`] at a time, and hands over what became of each, by its
/// index, as soon as it is known.
///
/// Ends early where `stop` says so or `each` fails; calls under way are waited for, and handed over unless `each` failed.
pub(crate) fn run(
    client: &Client,
    prompts: &[&Prompt],
    stop: &(dyn Fn() -> bool + Sync),
    each: &mut dyn FnMut(usize, Judgement) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let over = || failed.load(Ordering::Relaxed) || stop();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..client.endpoint().concurrency.min(prompts.len()) {
            let (sender, next, over) = (sender.clone(), &next, &over);
            scope.spawn(move || {
                while let Some((index, prompt)) = take(prompts, next, over) {
                    if sender.send((index, client.ask(prompt, over))).is_err() {
                        return;
                    }
                }
            });
        }
        // The threads hold the other ends: the loop is over when they are.
        drop(sender);
        let mut result = Ok(());
        for (index, judgement) in receiver {
            if result.is_ok() {
                result = each(index, judgement);
                failed.store(result.is_err(), Ordering::Relaxed);
            }
        }
        result
    })
}

/// The next prompt that nobody has taken, unless it is over.
fn take<'a>(prompts: &[&'a Prompt], next: &AtomicUsize, over: &dyn Fn() -> bool) -> Option<(usize, &'a Prompt)> {
    if over() {
        return None;
    }
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, *prompts.get(index)?))
}

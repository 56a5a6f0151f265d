//! The one rollout loop: conversations go through a backend turn by turn until all are over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use visionthink_image::Patches;
use visionthink_protocol::{Conversation, ImageView, Step};

use crate::backend::{Backend, Event, Past, SequenceId, TurnId, TurnLedger, TurnReply, TurnRequest};
use crate::cancel::CancelToken;
use crate::error::EngineError;
use crate::picture::Picture;
use crate::sampling::Sampling;

/// A conversation to be had, once or several times from one prompt.
#[derive(Debug, Clone)]
pub struct Task {
    /// The conversation, not begun.
    pub conversation: Conversation,
    /// Its source images.
    pub pictures: Vec<Arc<Picture>>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// How many rollouts, at least 1. They share the pass over the prompt.
    pub samples: usize,
    /// Ids that are never sampled, see [`ModelFolder::suppressed_ids`](crate::ModelFolder::suppressed_ids).
    pub suppressed_ids: Arc<[u32]>,
    /// Texts that end a reply.
    pub stop_texts: Vec<String>,
    /// Whether log-probabilities are wanted.
    pub logprobs: bool,
}

impl Task {
    /// The turn that a conversation of this task wants next, behind its sequence where it has one; `None` when it is
    /// over. The views that the turn shows are made here, where they are not made yet.
    ///
    /// # Errors
    /// [`EngineError::MissingPicture`], and [`EngineError::Image`] for a view that cannot be made.
    pub fn next_turn(
        &self,
        conversation: &Conversation,
        sequence: Option<SequenceId>,
    ) -> Result<Option<TurnRequest>, EngineError> {
        let Step::Generate { new_ids, start, new_images, max_new_tokens, stop_ids } = conversation.next_step() else {
            return Ok(None);
        };
        Ok(Some(TurnRequest {
            past: sequence.map_or(Past::None, |id| Past::Sequence { id, tokens: start }),
            new_ids: new_ids.to_vec(),
            new_images: patches(&self.pictures, new_images)?,
            sampling: self.sampling.clone(),
            max_new_tokens,
            stop_ids: stop_ids.to_vec(),
            stop_texts: self.stop_texts.clone(),
            suppressed_ids: self.suppressed_ids.clone(),
            logprobs: self.logprobs,
        }))
    }
}

/// A conversation that is over, or that failed.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Index of the task.
    pub task: usize,
    /// Which sample of it.
    pub sample: usize,
    /// All turns, with ids and response mask.
    pub conversation: Conversation,
    /// Per reply the natural log-probabilities of the ids as they were sampled; empty where not asked for.
    pub logprobs: Vec<Vec<f32>>,
    /// Token counts.
    pub usage: Usage,
    /// What all turns cost in visual tokens and operations.
    pub ledger: TurnLedger,
    /// Times.
    pub timing: RolloutTiming,
    /// Why it could not be finished. The conversation stands where it was.
    pub error: Option<Arc<EngineError>>,
}

/// What a rollout cost in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Usage {
    /// Ids of the first prompt, images expanded.
    pub prompt_tokens: usize,
    /// Sampled ids of all turns.
    pub completion_tokens: usize,
    /// Ids run through the model in prompts and tool responses. Of several samples the first has those of the prompt.
    pub prefilled_tokens: usize,
    /// Ids whose keys and values were reused.
    pub reused_tokens: usize,
    /// Image tokens in the conversation.
    pub image_tokens: usize,
    /// Image tokens of all pictures in full.
    pub full_image_tokens: usize,
}

/// Wall-clock time of a rollout by phase; rollouts that run together share passes, so their times overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RolloutTiming {
    /// Making views of images.
    pub image: Duration,
    /// In the vision tower.
    pub vision: Duration,
    /// In the decoder, until first tokens.
    pub prefill: Duration,
    /// From first tokens to last ones.
    pub decode: Duration,
    /// From the first submission to the end.
    pub total: Duration,
}

/// What happens while rollouts run.
#[derive(Debug)]
pub enum RolloutEvent<'a> {
    /// A token was sampled.
    Token {
        /// Index of the task.
        task: usize,
        /// Which sample of it.
        sample: usize,
        /// Which reply, from 0.
        turn: usize,
        /// The token.
        id: u32,
    },
    /// A rollout is over.
    Finished(&'a Rollout),
}

/// A rollout with a turn in flight.
struct Open {
    rollout: Rollout,
    task: Arc<Task>,
    began: Instant,
}

/// Has all conversations and returns them in the order of the tasks.
///
/// Tasks are drawn from the iterator as the backend takes them, so pictures can be opened late. An error of one
/// conversation is kept in its [`Rollout`]; when the backend itself fails, all open rollouts get its error and no
/// further task is begun. After a cancellation the open conversations end where they are, with
/// [`FinishReason::Cancelled`](visionthink_protocol::FinishReason::Cancelled).
pub fn run(
    backend: &mut impl Backend,
    tasks: impl IntoIterator<Item = Task>,
    cancel: &CancelToken,
    mut on_event: impl FnMut(RolloutEvent<'_>),
) -> Vec<Rollout> {
    let _span = tracing::debug_span!("rollout").entered();
    let mut tasks = tasks.into_iter().enumerate();
    let mut rollouts = Rollouts { backend, open: HashMap::new(), done: Vec::new(), on_event: &mut on_event };
    let mut cancelled = false;
    loop {
        if cancel.is_cancelled() && !cancelled {
            cancelled = true;
            rollouts.cancel_all();
        }
        while !cancelled && rollouts.has_room() {
            let Some((index, task)) = tasks.next() else { break };
            rollouts.begin(index, task);
        }
        if rollouts.open.is_empty() {
            break;
        }
        match rollouts.backend.step() {
            Ok(events) => events.into_iter().for_each(|event| rollouts.take(event)),
            Err(error) => {
                rollouts.fail_all(error);
                break;
            }
        }
    }
    rollouts.into_ordered()
}

struct Rollouts<'a, B> {
    backend: &'a mut B,
    open: HashMap<TurnId, Open>,
    done: Vec<Rollout>,
    on_event: &'a mut dyn FnMut(RolloutEvent<'_>),
}

impl<B: Backend> Rollouts<'_, B> {
    /// Twice what runs at once, so that prompts are ready when rows become free.
    fn has_room(&self) -> bool {
        self.open.len() < 2 * self.backend.capacity()
    }

    fn begin(&mut self, index: usize, task: Task) {
        let began = Instant::now();
        let task = Arc::new(task);
        let mut rollout = Rollout::new(index, &task);
        let submitted = match next_request(&mut rollout, &task, None) {
            Ok(Some(request)) if task.samples == 1 => self.backend.submit(request).map(|turn| vec![turn]),
            Ok(Some(request)) => self.backend.submit_group(request, task.samples),
            // Nothing to be said: every sample is over at once.
            Ok(None) => {
                for sample in 0..task.samples {
                    self.finish(
                        Open { rollout: Rollout { sample, ..rollout.clone() }, task: task.clone(), began },
                        None,
                    );
                }
                return;
            }
            Err(error) => Err(error),
        };
        match submitted {
            Ok(turns) => {
                for (sample, turn) in turns.into_iter().enumerate() {
                    let rollout = Rollout { sample, ..rollout.clone() };
                    self.open.insert(turn, Open { rollout, task: task.clone(), began });
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for sample in 0..task.samples.max(1) {
                    let rollout = Rollout { sample, ..rollout.clone() };
                    self.finish(Open { rollout, task: task.clone(), began }, Some(error.clone()));
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Token { turn, id, .. } => {
                if let Some(Open { rollout, .. }) = self.open.get(&turn) {
                    let (task, sample, turn) = (rollout.task, rollout.sample, rollout.conversation.turns().len());
                    (self.on_event)(RolloutEvent::Token { task, sample, turn, id });
                }
            }
            Event::Finished { turn, reply } => {
                if let Some(open) = self.open.remove(&turn) {
                    self.go_on(open, reply);
                }
            }
            Event::Failed { turn, error } => {
                if let Some(open) = self.open.remove(&turn) {
                    self.finish(open, Some(Arc::new(error)));
                }
            }
        }
    }

    /// Hands a reply to its conversation and submits the next turn where there is one.
    fn go_on(&mut self, mut open: Open, reply: TurnReply) {
        let sequence = reply.sequence;
        match self.submit_next(&mut open, reply) {
            Ok(Some(turn)) => {
                self.open.insert(turn, open);
            }
            Ok(None) => {
                self.backend.release(sequence);
                self.finish(open, None);
            }
            Err(error) => {
                self.backend.release(sequence);
                self.finish(open, Some(Arc::new(error)));
            }
        }
    }

    fn submit_next(&mut self, open: &mut Open, reply: TurnReply) -> Result<Option<TurnId>, EngineError> {
        let sequence = reply.sequence;
        open.rollout.push_reply(reply)?;
        match next_request(&mut open.rollout, &open.task, Some(sequence))? {
            Some(request) => self.backend.submit(request).map(Some),
            None => Ok(None),
        }
    }

    fn finish(&mut self, open: Open, error: Option<Arc<EngineError>>) {
        let Open { mut rollout, began, .. } = open;
        rollout.timing.total = began.elapsed();
        rollout.usage.image_tokens = rollout.conversation.image_tokens();
        rollout.error = error;
        let Rollout { task, sample, usage, .. } = &rollout;
        tracing::debug!(task, sample, ?usage, failed = rollout.error.is_some(), "rollout finished");
        (self.on_event)(RolloutEvent::Finished(&rollout));
        self.done.push(rollout);
    }

    fn cancel_all(&mut self) {
        for turn in self.open.keys() {
            self.backend.cancel(*turn);
        }
    }

    fn fail_all(&mut self, error: EngineError) {
        let error = Arc::new(error);
        let open: Vec<Open> = self.open.drain().map(|(_, open)| open).collect();
        for open in open {
            self.finish(open, Some(error.clone()));
        }
    }

    fn into_ordered(mut self) -> Vec<Rollout> {
        self.done.sort_by_key(|rollout| (rollout.task, rollout.sample));
        self.done
    }
}

impl Rollout {
    fn new(task: usize, settings: &Task) -> Self {
        let conversation = settings.conversation.clone();
        let usage = Usage {
            prompt_tokens: conversation.prompt_tokens(),
            full_image_tokens: settings.pictures.iter().map(|picture| picture.costs().full.tokens).sum(),
            ..Usage::default()
        };
        Self {
            task,
            sample: 0,
            conversation,
            logprobs: Vec::new(),
            usage,
            ledger: TurnLedger::default(),
            timing: RolloutTiming::default(),
            error: None,
        }
    }

    fn push_reply(&mut self, reply: TurnReply) -> Result<(), EngineError> {
        self.usage.completion_tokens += reply.ids.len();
        self.usage.prefilled_tokens += reply.prefilled_tokens;
        self.usage.reused_tokens += reply.reused_tokens;
        self.ledger += reply.ledger;
        self.timing.vision += reply.timing.vision;
        self.timing.prefill += reply.timing.prefill;
        self.timing.decode += reply.timing.decode;
        self.logprobs.push(reply.logprobs);
        Ok(self.conversation.push_reply(&reply.ids, reply.finish_reason)?)
    }
}

/// The turn that a conversation wants next, behind its sequence where it has one; `None` when it is over.
fn next_request(
    rollout: &mut Rollout,
    task: &Task,
    sequence: Option<SequenceId>,
) -> Result<Option<TurnRequest>, EngineError> {
    let began = Instant::now();
    let request = task.next_turn(&rollout.conversation, sequence)?;
    rollout.timing.image += began.elapsed();
    Ok(request)
}

/// The patches of views of pictures.
fn patches(pictures: &[Arc<Picture>], views: &[ImageView]) -> Result<Vec<Arc<Patches>>, EngineError> {
    let mut patches = Vec::with_capacity(views.len());
    for view in views {
        let picture = pictures
            .get(view.source)
            .ok_or(EngineError::MissingPicture { source_index: view.source, pictures: pictures.len() })?;
        patches.push(picture.patches(view.view)?);
    }
    Ok(patches)
}

//! One sample: a conversation with the engine, told as it goes.

use std::sync::Arc;

use visionthink_engine::{Task, TurnReply};
use visionthink_image::Views;
use visionthink_protocol::{Conversation, DialogueTurn, ReplySplitter, Tokenizer};

use super::stop::{StopCut, cut};
use super::turn::{Heard, Held, Turn};
use super::worker::Worker;
use super::{beside, failed, logprobs};
use crate::api::{ApiError, ChatRequest, Sample, TurnReport, Usage, finish_word};
use crate::looked::Looked;
use crate::voice::Voice;

/// What a sample needs.
pub(super) struct Talk<'a> {
    pub(super) worker: &'a Worker,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) task: &'a Arc<Task>,
}

impl Talk<'_> {
    /// Has the conversation whose first turn is in flight.
    pub(super) async fn have(
        self,
        mut turn: Turn,
        mut voice: Voice<'_>,
        request: &ChatRequest,
        costs: &[Views],
    ) -> Result<Sample, ApiError> {
        let mut conversation = self.task.conversation.clone();
        let mut turns = Vec::new();
        let last = loop {
            let (reply, held) = self.hear(turn, &conversation, &mut voice).await?;
            let prompt = conversation.ids().to_vec();
            conversation.push_reply(&reply.ids, reply.finish_reason)?;
            turns.extend(report(&conversation, prompt, &reply));
            match self.go_on(&conversation, held).await? {
                Some(next) => turn = next,
                None => break reply,
            }
        };
        if voice.is_silent() {
            let answer = conversation.answer().unwrap_or_default();
            voice.say(cut(answer, &self.task.stop_texts).trim_end().to_owned()).await?;
        }
        let looked = Looked {
            decision: conversation.decision(),
            views: conversation.images().to_vec(),
            turns,
            tool_calls: Vec::new(),
            finish_reason: finish_word(conversation.finish_reason()).to_owned(),
            logprobs: request.logprobs.map(|_| logprobs::of(&last, self.tokenizer)),
        };
        Ok(looked.into_sample(request, Some(costs), voice))
    }

    /// Hears a reply to its end and tells what can be told of it.
    async fn hear(
        &self,
        mut turn: Turn,
        conversation: &Conversation,
        voice: &mut Voice<'_>,
    ) -> Result<(Box<TurnReply>, Held), ApiError> {
        let mut text = self.tokenizer.decode_stream(true);
        let mut stop = StopCut::new(&self.task.stop_texts);
        let (mut splitter, is_last) = (ReplySplitter::default(), conversation.is_last_turn());
        let mut begun = false;
        let ended = loop {
            let heard = turn.next().await?;
            // A refusal before the reply has begun keeps its status.
            if !begun && !matches!(heard, Heard::Failed(_)) {
                voice.begin_turn(conversation.images()).await?;
                begun = true;
            }
            match heard {
                Heard::Token(id) => voice.tell(splitter.push(&stop.push(&text.push(id))), is_last).await?,
                Heard::Finished(reply, held) => break (reply, held),
                Heard::Failed(reason) => return Err(ApiError::EngineFailed { reason }),
            }
        };
        voice.tell(splitter.push(&stop.push(&text.finish())), is_last).await?;
        voice.tell(splitter.push(&stop.end()), is_last).await?;
        voice.tell(splitter.end(), is_last).await?;
        Ok(ended)
    }

    /// Submits the next turn where there is one.
    async fn go_on(&self, conversation: &Conversation, held: Held) -> Result<Option<Turn>, ApiError> {
        if conversation.finish_reason().is_some() {
            return Ok(None);
        }
        let (task, id, copy) = (self.task.clone(), held.id(), conversation.clone());
        let next = beside(move || task.next_turn(&copy, Some(id)).map_err(failed)).await?;
        let Some(next) = next else { return Ok(None) };
        Ok(self.worker.submit(next, 1, Some(held))?.pop())
    }
}

/// The last turn of a conversation, and the ids it answered.
fn report(conversation: &Conversation, prompt_token_ids: Vec<u32>, reply: &TurnReply) -> Option<TurnReport> {
    let turn = conversation.turns().last()?;
    let (text, tool_call, finish_reason) = (turn.text.clone(), turn.tool_call.clone(), turn.finish_reason);
    let (reused, prompt) = (reply.reused_tokens, reply.prefilled_tokens + reply.reused_tokens);
    Some(TurnReport {
        turn: DialogueTurn { text, tool_call, finish_reason },
        usage: Usage::new(prompt as u64, reply.ids.len() as u64, reused as u64),
        prompt_token_ids,
        token_ids: reply.ids.clone(),
    })
}

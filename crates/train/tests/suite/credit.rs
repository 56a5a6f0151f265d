//! Which tokens of a rollout are learned from, and with which advantage.

use std::sync::Arc;

use visionthink_engine::{Picture, Rollout, RolloutTiming, TurnLedger, Usage};
use visionthink_image::{Processor, RgbImage};
use visionthink_protocol::{ChatTemplate, Conversation, FinishReason, Limits, Mode, Profile, Rules, Setup, Tokenizer};
use visionthink_reward::TurnAdvantages;
use visionthink_train::grpo::Experience;

use crate::tiny_checkpoint;

/// A conversation in which the model said `replies`, and their lengths in tokens.
fn rollout(picture: &Picture, replies: &[&str]) -> (Rollout, Vec<usize>) {
    let tokenizer = Arc::new(Tokenizer::from_dir(&tiny_checkpoint()).unwrap());
    let template = ChatTemplate::from_dir(&tiny_checkpoint()).unwrap();
    let profile = Arc::new(Profile::by_name("visionthink").unwrap());
    let setup = Setup {
        tokenizer: tokenizer.clone(),
        profile: profile.clone(),
        mode: Mode::Adaptive,
        images: vec![picture.tokens()],
        limits: Limits::for_context(4096),
        rules: Rules::Exact,
    };
    let mut conversation = Conversation::start(setup, &template, &[profile.question("What?", 1)]).unwrap();
    let mut lengths = Vec::new();
    for reply in replies {
        let mut ids = tokenizer.encode(reply).unwrap();
        ids.push(tokenizer.special().im_end);
        lengths.push(ids.len());
        conversation.push_reply(&ids, FinishReason::Stop).unwrap();
    }
    let (usage, ledger, timing) = (Usage::default(), TurnLedger::default(), RolloutTiming::default());
    (Rollout { task: 0, sample: 0, conversation, logprobs: Vec::new(), usage, ledger, timing, error: None }, lengths)
}

#[test]
fn the_turn_that_calls_and_the_turn_that_answers_have_advantages_of_their_own() {
    let image = RgbImage::new(112, 112, vec![128; 112 * 112 * 3]).unwrap();
    let picture = Picture::new(image, Arc::new(Processor::from_dir(&tiny_checkpoint()).unwrap())).unwrap();
    let advantages = TurnAdvantages { call: 2.0, answer: -1.0 };
    let call =
        r#"<think>Small.</think><tool_call>{"name": "resize_image", "arguments": {"action": "resize"}}</tool_call>"#;
    let answer = "<think>Seen.</think><answer>7</answer>";

    let (two_turns, lengths) = rollout(&picture, &[call, answer]);
    let experience = Experience::new(&two_turns, &picture, advantages).unwrap();
    let expected = [vec![2.0; lengths[0]], vec![-1.0; lengths[1]]].concat();
    assert_eq!((experience.advantages, experience.call_tokens), (expected, lengths[0]));
    assert_eq!(experience.transcript.images.len(), 2);
    let sampled: Vec<u32> = experience.transcript.targets.iter().map(|target| target.id).collect();
    let turns = two_turns.conversation.turns();
    assert_eq!(sampled, [turns[0].ids.clone(), turns[1].ids.clone()].concat(), "tool responses are no targets");

    let (direct, lengths) = rollout(&picture, &[answer]);
    let experience = Experience::new(&direct, &picture, advantages).unwrap();
    assert_eq!((experience.advantages, experience.call_tokens), (vec![-1.0; lengths[0]], 0));
}

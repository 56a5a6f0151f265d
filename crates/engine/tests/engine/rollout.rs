//! The rollout loop over the embedded engine.

use std::collections::HashSet;
use std::sync::Arc;

use burn::tensor::Device;
use visionthink_engine::{
    Backend, CancelToken, Counters, EmbeddedEngine, EngineError, EngineOptions, Event, ModelFolder, Past, Picture,
    Rollout, RolloutEvent, Sampling, SequenceId, Task, TurnId, TurnRequest, run,
};
use visionthink_image::RgbImage;
use visionthink_model::LoadOptions;
use visionthink_protocol::{
    Conversation, Decision, FinishReason, Limits, Message, Mode, Profile, ProfileName, Role, Rules, Setup,
};

use visionthink_prune::Method;

use crate::vectors::{self, Checkpoint, fixture};

struct World {
    folder: ModelFolder,
    checkpoint: Checkpoint,
}

impl World {
    fn open() -> Self {
        let checkpoint = fixture("qwen2_5_vl-a");
        Self { folder: ModelFolder::open(&checkpoint.path).unwrap(), checkpoint }
    }

    fn engine(&self, max_rows: usize) -> EmbeddedEngine {
        self.engine_with(EngineOptions { max_rows, ..EngineOptions::default() })
    }

    fn engine_with(&self, options: EngineOptions) -> EmbeddedEngine {
        self.folder.engine(&LoadOptions::default(), &Device::flex(), options).unwrap()
    }

    fn picture(&self, image: RgbImage) -> Arc<Picture> {
        Arc::new(Picture::new(image, self.folder.processor.clone().unwrap()).unwrap())
    }

    fn setup(&self, profile: Profile, mode: Mode, pictures: &[Arc<Picture>], limits: Limits) -> Setup {
        Setup {
            tokenizer: self.folder.tokenizer.clone(),
            profile: Arc::new(profile),
            mode,
            images: pictures.iter().map(|picture| picture.tokens()).collect(),
            limits,
            rules: Rules::Exact,
        }
    }

    fn task(&self, conversation: Conversation, pictures: Vec<Arc<Picture>>) -> Task {
        Task {
            conversation,
            pictures,
            sampling: Sampling::greedy(),
            samples: 1,
            suppressed_ids: self.folder.suppressed_ids(),
            stop_texts: Vec::new(),
            logprobs: true,
        }
    }

    /// A text question, answered with at most `max_new_tokens`.
    fn question(&self, text: &str, max_new_tokens: usize) -> Task {
        let limits = Limits { max_new_tokens_per_turn: max_new_tokens, ..Limits::for_context(4096) };
        let profile = Profile::from(ProfileName::Compact);
        let setup = self.setup(profile, Mode::Adaptive, &[], limits);
        let question = [Message::new(Role::User, text)];
        self.task(Conversation::start(setup, &self.folder.template, &question).unwrap(), Vec::new())
    }
}

/// The embedded engine, with the first reply of every sequence put into its mouth: all but the last id are run as
/// part of the prompt, and the last one is the only one that may be sampled.
struct Prompted {
    engine: EmbeddedEngine,
    reply: Vec<u32>,
    firsts: HashSet<TurnId>,
    requests: Vec<TurnRequest>,
}

impl Backend for Prompted {
    fn submit(&mut self, mut request: TurnRequest) -> Result<TurnId, EngineError> {
        self.requests.push(request.clone());
        if request.past != Past::None {
            return self.engine.submit(request);
        }
        let (last, front) = self.reply.split_last().unwrap();
        request.new_ids.extend(front);
        request.suppressed_ids =
            (0..self.engine.model().config().text.vocab_size as u32).filter(|id| id != last).collect();
        let turn = self.engine.submit(request)?;
        self.firsts.insert(turn);
        Ok(turn)
    }

    fn submit_group(&mut self, _: TurnRequest, _: usize) -> Result<Vec<TurnId>, EngineError> {
        unreachable!("the test has single samples")
    }

    fn step(&mut self) -> Result<Vec<Event>, EngineError> {
        let mut events = self.engine.step()?;
        for event in &mut events {
            if let Event::Finished { turn, reply } = event
                && self.firsts.contains(turn)
            {
                reply.ids.clone_from(&self.reply);
            }
        }
        Ok(events)
    }

    fn cancel(&mut self, turn: TurnId) {
        self.engine.cancel(turn);
    }

    fn release(&mut self, sequence: SequenceId) {
        self.engine.release(sequence);
    }

    fn capacity(&self) -> usize {
        self.engine.capacity()
    }

    fn counters(&self) -> &Counters {
        self.engine.counters()
    }
}

#[test]
fn a_call_brings_the_full_image_and_the_conversation_goes_on_as_recorded() {
    compare_two_turns(Rules::Exact, "");
}

/// The reference overwrites the last id of a reply that was cut off: the sequence goes on from in front of it.
#[test]
fn a_reply_whose_end_is_overwritten_goes_on_as_recorded() {
    compare_two_turns(Rules::Reference, "\n");
}

/// The recorded conversation under `rules`, its first reply ending in `cut_off` instead of the end token, if in any.
fn compare_two_turns(rules: Rules, cut_off: &str) {
    let world = World::open();
    let case = world.checkpoint.case("two_turn_rollout");
    let parts: Vec<&str> = case.json["parts"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
    let picture = world.picture(world.checkpoint.decoded(case.json["images"][1]["file"].as_str().unwrap()));
    let expected = case.tensors.ids("gen.ids");

    let mut profile = Profile::from(ProfileName::Visionthink);
    profile.image_suffix.clear();
    let tool = profile.tool.as_mut().unwrap();
    tool.response_turn = parts[2].replace("<|vision_start|><|image_pad|><|vision_end|>", "{images}");
    let limits = Limits { max_new_tokens_per_turn: expected.len(), ..Limits::for_context(4096) };
    let setup = world.setup(profile, Mode::Adaptive, std::slice::from_ref(&picture), limits);
    let conversation = Conversation::from_prompt(Setup { rules, ..setup }, parts[0]).unwrap();
    let reply = if cut_off.is_empty() { parts[1].to_owned() } else { parts[1].replace("<|im_end|>", cut_off) };
    let mut backend = Prompted {
        engine: world.engine(4),
        reply: world.folder.tokenizer.encode(&reply).unwrap(),
        firsts: HashSet::new(),
        requests: Vec::new(),
    };
    let task = world.task(conversation, vec![picture.clone()]);
    let rollouts = run(&mut backend, [task], &CancelToken::new(), |_| {});

    let [Rollout { conversation, error: None, usage, logprobs, .. }] = rollouts.as_slice() else {
        panic!("{rollouts:?}")
    };
    assert_eq!(conversation.decision(), Decision::Resize);
    let prompt = case.tensors.ids("input_ids");
    // Under the reference rules the second reply, cut off by its limit, has its last id overwritten as well.
    let reply = &conversation.ids()[prompt.len()..];
    let kept = &reply[..reply.len() - usize::from(!cut_off.is_empty())];
    assert_eq!(conversation.ids()[..prompt.len()], prompt);
    assert!(!kept.is_empty() && expected.starts_with(kept), "{reply:?}, expected {expected:?}");
    vectors::close("gen.logprobs", &logprobs[1], &case.tensors.floats("gen.logprobs")[..reply.len()], 1e-4).unwrap();
    let mask: Vec<bool> = case.tensors.ids("response_mask").iter().map(|sampled| *sampled == 1).collect();
    assert_eq!(conversation.response_mask()[..prompt.len()], mask);

    let [first, second] = backend.requests.as_slice() else { panic!("two turns") };
    let past = first.new_ids.len() + backend.reply.len() - usize::from(!cut_off.is_empty());
    assert_eq!(second.past, Past::Sequence { id: SequenceId(1), tokens: past });
    assert_eq!((first.new_images.len(), second.new_images.len()), (1, 1));
    let costs = picture.costs();
    assert_eq!(usage.image_tokens, costs.low.tokens + costs.full.tokens);
    assert_eq!(usage.full_image_tokens, costs.full.tokens);
    assert_eq!(usage.reused_tokens, first.new_ids.len() + backend.reply.len() - 1);
    // Everything but the last token was run exactly once.
    assert_eq!(usage.prefilled_tokens + reply.len() - 1, conversation.ids().len() - 1);
    assert!(rollouts[0].timing.image > std::time::Duration::ZERO);
}

/// Each turn drops tokens of its own image; the first reply is put into the model's mouth, so both turns are had.
#[test]
fn a_rollout_in_two_turns_prunes_the_image_of_each_and_adds_up_what_it_cost() {
    let world = World::open();
    let picture = world.picture(world.checkpoint.decoded("shapes_224x224.png"));
    let profile = Profile::from(ProfileName::Visionthink);
    let costs = picture.costs();
    let image_tokens = [costs.low.tokens, costs.full.tokens];
    for method in Method::ALL {
        let pruning = method.at_share(0.6, 4).unwrap();
        let limits = Limits { max_new_tokens_per_turn: 4, ..Limits::for_context(4096) };
        let setup = world.setup(profile.clone(), Mode::Adaptive, std::slice::from_ref(&picture), limits);
        let question = [profile.question("What is it?", 1)];
        let conversation = Conversation::start(setup, &world.folder.template, &question).unwrap();
        let call = "<tool_call>\n{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}\n</tool_call><|im_end|>";
        let options = EngineOptions { pruning: Some(pruning.clone()), ..EngineOptions::default() };
        let mut backend = Prompted {
            engine: world.engine_with(options),
            reply: world.folder.tokenizer.encode(call).unwrap(),
            firsts: HashSet::new(),
            requests: Vec::new(),
        };
        let rollouts =
            run(&mut backend, [world.task(conversation, vec![picture.clone()])], &CancelToken::new(), |_| {});
        let [Rollout { conversation, error: None, ledger, .. }] = rollouts.as_slice() else { panic!("{rollouts:?}") };
        assert_eq!(conversation.decision(), Decision::Resize);
        let planned = image_tokens.map(|tokens| pruning.visual_tokens(&[tokens], 4));
        assert_eq!(ledger.visual_tokens, planned[0][0] + planned[1][0], "{method}");
        let entries: usize = planned.iter().flatten().sum();
        assert_eq!(
            (ledger.visual_kv_entries, ledger.visual_tokens_per_layer),
            (entries, entries as f64 / 4.0),
            "{method}"
        );
        assert_eq!(ledger.patches, 4 * image_tokens.iter().sum::<usize>());
    }
}

#[test]
fn rollouts_come_back_in_the_order_of_tasks_and_samples() {
    let world = World::open();
    let tasks: Vec<Task> = (0..5)
        .map(|index| Task {
            sampling: Sampling::at_temperature(1.5, index),
            samples: 1 + (index as usize) % 3,
            ..world.question("How many?", 12 - 2 * index as usize)
        })
        .collect();
    let mut tokens = vec![Vec::new(); 9];
    let mut finished = Vec::new();
    let order = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (4, 0), (4, 1)];
    let at = |task, sample| order.iter().position(|pair| *pair == (task, sample)).unwrap();
    let rollouts = run(&mut world.engine(3), tasks, &CancelToken::new(), |event| match event {
        RolloutEvent::Token { task, sample, turn, id } => {
            assert_eq!(turn, 0);
            tokens[at(task, sample)].push(id);
        }
        RolloutEvent::Finished(rollout) => finished.push((rollout.task, rollout.sample)),
    });
    assert_eq!(rollouts.iter().map(|rollout| (rollout.task, rollout.sample)).collect::<Vec<_>>(), order);
    assert_ne!(finished, order, "short ones finish first");
    for (rollout, tokens) in rollouts.iter().zip(tokens) {
        assert!(rollout.error.is_none());
        let turn = &rollout.conversation.turns()[0];
        assert_eq!(turn.ids, tokens);
        assert_eq!(rollout.logprobs[0].len(), tokens.len());
        let sampled = rollout.conversation.response_mask().iter().filter(|sampled| **sampled).count();
        assert_eq!((sampled, rollout.usage.completion_tokens), (tokens.len(), tokens.len()));
    }
}

#[test]
fn an_error_of_one_conversation_does_not_lose_the_others() {
    let world = World::open();
    let image = world.checkpoint.decoded("shapes_224x224.png");
    let picture = world.picture(image);
    let limits = Limits { max_new_tokens_per_turn: 4, ..Limits::for_context(4096) };
    let profile = Profile::from(ProfileName::Compact);
    let setup = world.setup(profile.clone(), Mode::Full, std::slice::from_ref(&picture), limits);
    let question = [profile.question("What is it?", 1)];
    let conversation = Conversation::start(setup, &world.folder.template, &question).unwrap();
    let lost = world.task(conversation.clone(), Vec::new());
    let with = world.task(conversation, vec![picture]);
    let too_hot = Task { sampling: Sampling::at_temperature(-1.0, 0), samples: 2, ..world.question("Why?", 4) };
    let tasks = [lost, with, too_hot, world.question("How?", 4)];
    let rollouts = run(&mut world.engine(4), tasks, &CancelToken::new(), |_| {});
    let errors: Vec<Option<String>> =
        rollouts.iter().map(|rollout| rollout.error.as_ref().map(ToString::to_string)).collect();
    let hot = Some("`temperature` is -1, expected 0 or more".to_owned());
    let missing = Some("the conversation shows image 0, the task has 0; images count from 0".to_owned());
    assert_eq!(errors, [missing, None, hot.clone(), hot, None]);
    assert_eq!(rollouts[1].conversation.decision(), Decision::None);
    assert_eq!(rollouts[1].usage.image_tokens, rollouts[1].usage.full_image_tokens);
    assert_eq!(rollouts[1].conversation.turns().len(), 1);
}

#[test]
fn a_cancelled_run_returns_what_was_begun() {
    let world = World::open();
    let cancel = CancelToken::new();
    let mut drawn = 0;
    let tasks = (0..100).map(|_| {
        drawn += 1;
        world.question("How many?", 400)
    });
    let mut tokens = 0;
    let rollouts = run(&mut world.engine(2), tasks, &cancel, |event| {
        if matches!(event, RolloutEvent::Token { .. }) {
            tokens += 1;
            if tokens == 10 {
                cancel.cancel();
            }
        }
    });
    assert_eq!((drawn, rollouts.len()), (4, 4), "tasks are drawn as they are needed");
    for rollout in &rollouts {
        assert!(rollout.error.is_none());
        assert_eq!(rollout.conversation.finish_reason(), Some(FinishReason::Cancelled));
    }
    assert!(rollouts.iter().map(|rollout| rollout.usage.completion_tokens).sum::<usize>() >= 10);
}

#[test]
fn a_folder_tells_which_ids_end_a_reply_and_which_are_never_sampled() {
    let world = World::open();
    assert_eq!(world.folder.stop_ids(), world.folder.generation.eos_token_id);
    assert!(!world.folder.stop_ids().is_empty());
    let suppressed = world.folder.suppressed_ids();
    assert!(suppressed.contains(&world.folder.config.image_token_id().unwrap()));
    assert!(suppressed.contains(&(world.folder.config.text.vocab_size as u32 - 1)));
}

//! The turn state machine under the default rules, on the tokenizer and template of a fixture checkpoint.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, the functions it calls too")]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use visionthink_protocol::{
    ChatTemplate, Content, Conversation, Decision, Dialogue, DialogueSetup, FinishReason, ImageTokens, ImageView,
    Limits, Message, Mode, Part, Profile, ProfileName, ProtocolError, RenderOptions, Role, Rules, Setup, Step,
    Tokenizer, ToolCallError, ToolCallParse, View,
};

const CALL: &str = "<think>too small</think>\n<tool_call>\n{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}\n</tool_call>";
const BROKEN: &str = "<tool_call>{\"name\": \"zoom\"}</tool_call>";
const IMAGE: ImageTokens = ImageTokens { low: 4, full: 16 };
const LOW: ImageView = ImageView { source: 0, view: View::Low };
const FULL: ImageView = ImageView { source: 0, view: View::Full };

fn checkpoint() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/qwen2_5_vl-a")
}

static TOKENIZER: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| Arc::new(Tokenizer::from_dir(&checkpoint()).unwrap()));
static TEMPLATE: LazyLock<ChatTemplate> = LazyLock::new(|| ChatTemplate::from_dir(&checkpoint()).unwrap());

fn setup(name: ProfileName, mode: Mode, images: usize) -> Setup {
    Setup {
        tokenizer: Arc::clone(&TOKENIZER),
        profile: Arc::new(name.into()),
        mode,
        images: vec![IMAGE; images],
        limits: Limits::for_context(4096),
        rules: Rules::Exact,
    }
}

fn ask(setup: Setup) -> Conversation {
    let question = setup.profile.question("How many?", setup.images.len());
    Conversation::start(setup, &TEMPLATE, &[question]).unwrap()
}

fn adaptive() -> Conversation {
    ask(setup(ProfileName::Compact, Mode::Adaptive, 1))
}

/// Ids of a reply, ended as a model ends it.
fn reply(text: &str) -> Vec<u32> {
    TOKENIZER.encode(&format!("{text}<|im_end|>")).unwrap()
}

fn say(conversation: &mut Conversation, text: &str) {
    conversation.push_reply(&reply(text), FinishReason::Stop).unwrap();
}

fn new_text(conversation: &Conversation) -> String {
    match conversation.next_step() {
        Step::Generate { new_ids, .. } => TOKENIZER.decode(new_ids, false).unwrap(),
        Step::Done => panic!("done"),
    }
}

fn pads(count: usize) -> String {
    format!("<|vision_start|>{}<|vision_end|>", "<|image_pad|>".repeat(count))
}

#[test]
fn a_question_is_answered_from_the_low_image() {
    let mut conversation = adaptive();
    assert_eq!(
        new_text(&conversation),
        format!(
            "<|im_start|>system\nresize_image<|im_end|>\n<|im_start|>user\n{}How many?<|im_end|>\n<|im_start|>assistant\n",
            pads(4)
        )
    );
    assert_eq!(conversation.decision(), Decision::None);
    say(&mut conversation, "<answer>7</answer>");
    assert_eq!(conversation.next_step(), Step::Done);
    assert_eq!(conversation.decision(), Decision::Direct);
    assert_eq!(conversation.answer(), Some("7"));
    assert_eq!(conversation.finish_reason(), Some(FinishReason::Stop));
    assert_eq!((conversation.images(), conversation.image_tokens()), ([LOW].as_slice(), 4));
}

#[test]
fn a_call_brings_the_full_image_into_the_same_conversation() {
    let mut conversation = adaptive();
    let before = conversation.ids().len();
    say(&mut conversation, CALL);
    let sampled = reply(CALL);
    let Step::Generate { new_ids, start, new_images, .. } = conversation.next_step() else { panic!("done") };
    assert_eq!(start, before + sampled.len());
    assert_eq!(new_images, [FULL]);
    assert_eq!(
        TOKENIZER.decode(new_ids, false).unwrap(),
        format!("<|im_start|>user\n<tool_response>{}</tool_response><|im_end|>\n<|im_start|>assistant\n", pads(16))
    );
    say(&mut conversation, "<answer>7</answer>");
    assert_eq!(conversation.decision(), Decision::Resize);
    assert_eq!(conversation.answer(), Some("7"));
    assert_eq!(conversation.image_tokens(), 20);
    let sampled = sampled.len() + reply("<answer>7</answer>").len();
    assert_eq!(conversation.response_mask().iter().filter(|&&sampled| sampled).count(), sampled);
    let text = conversation.text().unwrap();
    assert_eq!(text.matches("<|image_pad|>").count(), 2);
    assert!(text.contains("</tool_call><|im_end|><|im_start|>user\n<tool_response>"), "{text}");
}

#[test]
fn the_released_prompts_come_with_the_visionthink_profile() {
    let mut conversation = ask(setup(ProfileName::Visionthink, Mode::Adaptive, 1));
    let prompt = conversation.prompt().to_owned();
    assert!(prompt.contains("available actions are:\n* `resize`"), "{prompt}");
    assert!(prompt.contains("question:\n<|vision_start|><|image_pad|><|vision_end|>\nHow many?<|im_end|>"), "{prompt}");
    say(&mut conversation, CALL);
    let turn = new_text(&conversation);
    assert!(turn.starts_with(&format!(
        "<|im_start|>user\n<tool_response>\nThe resized image is shown below:\n{}\n</tool_response>\n",
        pads(16)
    )));
}

#[test]
fn the_ablations_call_with_a_bare_tag() {
    for (name, call) in
        [(ProfileName::SimpleResize, "<resize></resize>"), (ProfileName::SimpleThinkResize, "<think>s</think><resize>")]
    {
        let mut conversation = ask(setup(name, Mode::Adaptive, 1));
        say(&mut conversation, call);
        assert_eq!(conversation.decision(), Decision::Resize, "{name}");
        assert_eq!(conversation.images(), [LOW, FULL]);
    }
}

#[test]
fn modes_full_and_low_offer_no_tool() {
    for (mode, view) in [(Mode::Full, View::Full), (Mode::Low, View::Low)] {
        let mut conversation = ask(setup(ProfileName::Compact, mode, 1));
        assert_eq!(conversation.images(), [ImageView { source: 0, view }]);
        // Without a system message of the profile the fixture's template puts its own.
        assert!(!conversation.prompt().contains("resize_image"));
        say(&mut conversation, CALL);
        assert_eq!(conversation.decision(), Decision::None);
        assert_eq!(conversation.next_step(), Step::Done);
    }
    let setup = setup(ProfileName::General, Mode::Adaptive, 1);
    let error = Conversation::from_prompt(setup, "<|image_pad|>").unwrap_err();
    assert_eq!(error.to_string(), "profile `general` offers no tool; mode `adaptive` needs one, use `full` or `low`");
}

#[test]
fn a_question_without_an_image_is_answered_as_text() {
    let mut conversation = ask(setup(ProfileName::Compact, Mode::Adaptive, 0));
    assert!(conversation.prompt().ends_with("<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"));
    say(&mut conversation, CALL);
    assert_eq!(conversation.decision(), Decision::None);
    assert_eq!(conversation.finish_reason(), Some(FinishReason::Stop));
    let mut general = ask(setup(ProfileName::General, Mode::Adaptive, 0));
    say(&mut general, "<think>a</think> seven");
    assert_eq!(general.answer(), Some("seven"));
}

#[test]
fn a_call_returns_every_image_of_the_request() {
    let mut conversation = ask(setup(ProfileName::Compact, Mode::Adaptive, 2));
    assert!(new_text(&conversation).contains(&format!("{}{}How many?", pads(4), pads(4))));
    say(&mut conversation, CALL);
    assert!(new_text(&conversation).contains(&format!("<tool_response>{}{}</tool_response>", pads(16), pads(16))));
    let second = |view| ImageView { source: 1, view };
    assert_eq!(conversation.images(), [LOW, second(View::Low), FULL, second(View::Full)]);
}

#[test]
fn a_broken_call_is_answered_with_an_error_and_counts_as_malformed() {
    let mut conversation = ask(setup(ProfileName::Visionthink, Mode::Adaptive, 1));
    say(&mut conversation, BROKEN);
    assert!(new_text(&conversation).contains("Error Information: the call is not "), "{}", new_text(&conversation));
    assert_eq!(conversation.images(), [LOW]);
    say(&mut conversation, "<answer>7</answer>");
    assert_eq!(conversation.decision(), Decision::Malformed);
    assert_eq!(conversation.answer(), Some("7"));
}

#[test]
fn two_calls_in_one_reply_are_malformed() {
    let mut conversation = adaptive();
    say(&mut conversation, &format!("{CALL}{CALL}"));
    let several = ToolCallParse::Malformed(ToolCallError::Several { count: 2 });
    assert_eq!(conversation.turns()[0].tool_call, several);
    assert_eq!(
        new_text(&conversation),
        "<|im_start|>user\n<tool_response>error</tool_response><|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn a_second_call_changes_nothing_and_leaves_no_answer() {
    let mut conversation = adaptive();
    say(&mut conversation, CALL);
    say(&mut conversation, CALL);
    assert_eq!(conversation.next_step(), Step::Done);
    assert_eq!(conversation.turns()[1].tool_call, ToolCallParse::Malformed(ToolCallError::AlreadyFull));
    assert_eq!(conversation.decision(), Decision::Resize);
    assert_eq!(conversation.finish_reason(), Some(FinishReason::Length));
    assert_eq!(conversation.answer(), None);
    assert_eq!(conversation.images(), [LOW, FULL]);
    let error = conversation.push_reply(&[1], FinishReason::Stop).unwrap_err();
    assert!(matches!(error, ProtocolError::ConversationOver { turns: 2 }), "{error}");
}

#[test]
fn a_model_that_never_stops_ends_at_its_limit() {
    let mut setup = setup(ProfileName::Compact, Mode::Adaptive, 1);
    setup.limits.max_new_tokens_per_turn = 5;
    let mut conversation = ask(setup);
    let Step::Generate { max_new_tokens, .. } = conversation.next_step() else { panic!("done") };
    assert_eq!(max_new_tokens, 5);
    conversation.push_reply(&TOKENIZER.encode("a a a a a").unwrap(), FinishReason::Length).unwrap();
    assert_eq!(conversation.next_step(), Step::Done);
    assert_eq!(conversation.finish_reason(), Some(FinishReason::Length));
    assert_eq!(conversation.decision(), Decision::Direct);
    assert_eq!(conversation.answer(), Some("a a a a a"));
}

#[test]
fn a_call_that_was_cut_off_ends_the_conversation_as_malformed() {
    let mut conversation = adaptive();
    let ids = TOKENIZER.encode("<tool_call>{\"name\": \"resize").unwrap();
    conversation.push_reply(&ids, FinishReason::Length).unwrap();
    assert_eq!(conversation.next_step(), Step::Done);
    assert_eq!(conversation.decision(), Decision::Malformed);
}

#[test]
fn a_missing_end_token_is_put_there_without_a_mask() {
    let mut conversation = adaptive();
    let before = conversation.ids().len();
    let mut sampled = reply(CALL);
    sampled.pop();
    conversation.push_reply(&sampled, FinishReason::Length).unwrap();
    let at = before + sampled.len();
    let im_end = TOKENIZER.special().im_end;
    assert_eq!((conversation.ids()[at], conversation.response_mask()[at]), (im_end, false));
    assert_eq!(&conversation.ids()[before..at], sampled);
    assert!(conversation.response_mask()[before..at].iter().all(|&sampled| sampled));
    let Step::Generate { new_ids, start, .. } = conversation.next_step() else { panic!("done") };
    assert_eq!((new_ids[0], start), (im_end, at));
}

#[test]
fn an_image_token_or_an_unknown_id_makes_the_turn_malformed_and_ends_it() {
    let special = *TOKENIZER.special();
    let unknown = TOKENIZER.vocab_size() as u32 + 7;
    for (id, error) in [
        (special.image_pad, ToolCallError::ImageToken),
        (special.video_pad.unwrap(), ToolCallError::ImageToken),
        (unknown, ToolCallError::UnknownToken { id: unknown }),
    ] {
        for mode in [Mode::Adaptive, Mode::Full] {
            let mut conversation = ask(setup(ProfileName::Compact, mode, 1));
            conversation.push_reply(&[64, id, special.im_end], FinishReason::Stop).unwrap();
            assert_eq!(conversation.turns()[0].tool_call, ToolCallParse::Malformed(error.clone()));
            assert_eq!(conversation.decision(), Decision::Malformed);
            assert_eq!(conversation.next_step(), Step::Done);
        }
    }
    let suppressed = adaptive().suppressed_ids(TOKENIZER.vocab_size() + 2);
    let end = TOKENIZER.vocab_size() as u32;
    assert_eq!(suppressed, [special.image_pad, special.video_pad.unwrap(), end, end + 1]);
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_its_numbers() {
    let mut long = setup(ProfileName::Compact, Mode::Full, 1);
    long.images = vec![ImageTokens { low: 1000, full: 4090 }];
    let question = long.profile.question("How many?", 1);
    let error = Conversation::start(long.clone(), &TEMPLATE, std::slice::from_ref(&question)).unwrap_err();
    let ProtocolError::PromptTooLong { tokens, image_tokens: 4090, limit: 4096 } = error else { panic!("{error}") };
    assert!(tokens > 4096);
    long.limits.max_total_tokens = tokens + 1;
    let conversation = Conversation::start(long, &TEMPLATE, &[question]).unwrap();
    let Step::Generate { max_new_tokens, .. } = conversation.next_step() else { panic!("done") };
    assert_eq!(max_new_tokens, 1);
}

#[test]
fn a_tool_response_that_does_not_fit_ends_the_conversation() {
    let fit = |limit: usize, max_images: usize| {
        let mut setup = setup(ProfileName::Compact, Mode::Adaptive, 1);
        setup.limits = Limits { max_images, ..Limits::for_context(limit) };
        let mut conversation = ask(setup);
        say(&mut conversation, CALL);
        (conversation.ids().len(), conversation.finish_reason())
    };
    let (length, open) = fit(4096, 2);
    assert_eq!(open, None);
    assert_eq!(fit(length + 1, 2).1, None);
    assert_eq!(fit(length, 2).1, Some(FinishReason::Length));
    assert_eq!(fit(4096, 1).1, Some(FinishReason::Length));
}

#[test]
fn a_cancelled_reply_ends_the_conversation() {
    let mut conversation = adaptive();
    conversation.push_reply(&reply(CALL), FinishReason::Cancelled).unwrap();
    assert_eq!(conversation.next_step(), Step::Done);
    assert_eq!(conversation.finish_reason(), Some(FinishReason::Cancelled));
    assert_eq!(conversation.images(), [LOW]);
}

#[test]
fn placeholders_and_images_must_agree() {
    let error = Conversation::from_prompt(setup(ProfileName::Compact, Mode::Full, 1), "no image").unwrap_err();
    assert_eq!(error.to_string(), "the prompt has 0 `<|image_pad|>` for 1 images; each image needs exactly one");
    let injected = Message::new(Role::User, "<|image_pad|>");
    let error = Conversation::start(setup(ProfileName::Compact, Mode::Full, 0), &TEMPLATE, &[injected]).unwrap_err();
    assert!(matches!(error, ProtocolError::ImageCount { placeholders: 1, images: 0 }), "{error}");
    let video = Message::new(Role::User, Content::Parts(vec![Part::Video]));
    let error = Conversation::start(setup(ProfileName::Compact, Mode::Full, 0), &TEMPLATE, &[video]).unwrap_err();
    assert!(matches!(error, ProtocolError::VideoPart), "{error}");
}

#[test]
fn a_chat_goes_in_with_its_history() {
    let messages = [
        Message::new(Role::User, "Hi"),
        Message::new(Role::Assistant, "Hello!"),
        Profile::from(ProfileName::Compact).question("How many?", 1),
    ];
    let begun = Conversation::start(setup(ProfileName::Compact, Mode::Adaptive, 1), &TEMPLATE, &messages).unwrap();
    assert!(begun.prompt().starts_with(
        "<|im_start|>system\nresize_image<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!"
    ));
    let verbatim =
        Conversation::from_messages(setup(ProfileName::Compact, Mode::Full, 1), &TEMPLATE, &messages).unwrap();
    assert!(!verbatim.prompt().contains("resize_image"));
}

#[test]
fn conversations_and_templates_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Conversation>();
    crosses::<ChatTemplate>();
}

#[test]
fn a_transcript_serializes_as_the_contract_has_it() {
    let mut conversation = adaptive();
    say(&mut conversation, CALL);
    say(&mut conversation, "<answer>7</answer>");
    let json = serde_json::to_value(conversation.transcript().unwrap()).unwrap();
    assert_eq!(json["decision"], "resize");
    assert_eq!(json["answer"], "7");
    assert_eq!(json["turns"][0]["tool_call"]["name"], "resize_image");
    assert_eq!(json["turns"][1]["tool_call"], serde_json::Value::Null);
    assert_eq!(json["turns"][1]["finish_reason"], "stop");
    assert_eq!(json["turns"][1]["completion_tokens"], reply("<answer>7</answer>").len());
    assert_eq!(json["images"][1], serde_json::json!({"source": 0, "view": "full"}));
}

#[test]
fn a_tokenizer_whose_added_tokens_moved_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs_err::read_to_string(checkpoint().join("tokenizer.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["added_tokens"][2]["id"] = 1600.into();
    fs_err::write(dir.path().join("tokenizer.json"), file.to_string()).unwrap();
    let error = Tokenizer::from_dir(dir.path()).unwrap_err();
    assert!(matches!(&error, ProtocolError::TokenIdMismatch { expected: 1600, .. }), "{error}");

    file["added_tokens"].as_array_mut().unwrap().truncate(3);
    file["added_tokens"][2]["id"] = 1502.into();
    fs_err::write(dir.path().join("tokenizer.json"), file.to_string()).unwrap();
    let error = Tokenizer::from_dir(dir.path()).unwrap_err();
    assert_eq!(error.to_string(), "the tokenizer has no token `<|vision_start|>`; a Qwen-VL tokenizer is needed");

    fs_err::write(dir.path().join("tokenizer.json"), "{").unwrap();
    assert!(matches!(Tokenizer::from_dir(dir.path()).unwrap_err(), ProtocolError::TokenizerInvalid { .. }));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Tokenizer::from_dir(empty.path()).unwrap_err(), ProtocolError::TokenizerMissing { .. }));
}

/// Replies as a model might sample them: text, calls, special tokens, ids that mean nothing.
fn any_reply() -> impl Strategy<Value = Vec<u32>> {
    let special = *TOKENIZER.special();
    let rows = TOKENIZER.vocab_size() as u32 + 20;
    let piece = prop_oneof![
        4 => prop::collection::vec(0..rows, 0..6),
        2 => Just(reply(CALL)),
        1 => Just(reply(BROKEN)),
        1 => Just(reply("<answer>7</answer>")),
        1 => Just(vec![special.im_end]),
        1 => Just(vec![special.image_pad]),
        1 => any::<u32>().prop_map(|id| vec![id]),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn any_said() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        CALL,
        BROKEN,
        "<tool_call>{",
        "</tool_call>",
        "<think>",
        "</think>",
        "<answer>7</answer>",
        "<answer>",
        "seven",
        " ",
    ]);
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn any_finish() -> impl Strategy<Value = FinishReason> {
    prop_oneof![3 => Just(FinishReason::Stop), 1 => Just(FinishReason::Length), 1 => Just(FinishReason::Cancelled)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn any_replies_leave_ids_and_mask_in_step(
        replies in prop::collection::vec((any_reply(), any_finish()), 1..5),
        max_turns in 1..4_usize,
        limit in 60..400_usize,
        images in 0..3_usize,
        lenient in any::<bool>(),
    ) {
        let mut setup = setup(ProfileName::Compact, Mode::Adaptive, images);
        setup.limits = Limits { max_turns, ..Limits::for_context(limit) };
        setup.rules = if lenient { Rules::Reference } else { Rules::Exact };
        let mut conversation = ask(setup);
        for (reply, finish) in replies {
            let before = conversation.clone();
            let pushed = conversation.push_reply(&reply, finish);
            prop_assert_eq!(conversation.ids().len(), conversation.response_mask().len());
            prop_assert!(conversation.ids().starts_with(before.ids()));
            if pushed.is_err() {
                prop_assert!(lenient || before.next_step() == Step::Done);
                continue;
            }
            if !lenient {
                let end = before.ids().len() + reply.len();
                prop_assert_eq!(&conversation.ids()[before.ids().len()..end], &reply[..]);
                let mask = &conversation.response_mask()[before.ids().len()..];
                prop_assert!(mask.iter().enumerate().all(|(index, &sampled)| sampled == (index < reply.len())));
            }
            if let Step::Generate { new_ids, start, max_new_tokens, .. } = conversation.next_step() {
                prop_assert!(!new_ids.is_empty() && max_new_tokens >= 1);
                prop_assert_eq!(start + new_ids.len(), conversation.ids().len());
                prop_assert!(lenient || conversation.ids().len() + max_new_tokens <= limit);
                let pads = conversation.ids().iter().filter(|&&id| id == TOKENIZER.special().image_pad).count();
                prop_assert_eq!(pads, conversation.image_tokens());
            }
        }
    }

    #[test]
    fn a_dialogue_takes_the_turns_that_a_conversation_takes(
        replies in prop::collection::vec((any_said(), any_finish()), 1..4),
        profile in prop::sample::select(vec![ProfileName::Compact, ProfileName::Visionthink]),
        mode in prop::sample::select(vec![Mode::Adaptive, Mode::Full, Mode::Low]),
        max_turns in 1..4_usize,
        max_images in 1..5_usize,
        images in 0..3_usize,
    ) {
        let mut setup = setup(profile, mode, images);
        setup.limits = Limits { max_turns, max_images, ..Limits::for_context(1 << 20) };
        let profile = setup.profile.clone();
        let foreign_tools = Vec::new();
        let question = [profile.question("How many?", images)];
        let dialogue_setup = DialogueSetup { profile, mode, max_turns, max_images, foreign_tools };
        let mut dialogue = Dialogue::start(dialogue_setup, &question).unwrap();
        let mut conversation = Conversation::start(setup, &TEMPLATE, &question).unwrap();
        for (said, finish) in replies {
            // The template writes every message with its end and a line break, which the ids do without before a turn.
            if let Some(messages) = dialogue.next_request() {
                let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
                let rendered = TEMPLATE.render(messages, &options).unwrap();
                let rendered = rendered.replace("<|im_end|>\n<|im_start|>user", "<|im_end|><|im_start|>user");
                let text = conversation.text().unwrap();
                prop_assert_eq!(rendered, text.replace("<|im_end|>\n<|im_start|>user", "<|im_end|><|im_start|>user"));
            }
            let (one, other) = (dialogue.push_reply(&said, finish), conversation.push_reply(&reply(&said), finish));
            prop_assert_eq!(one.is_ok(), other.is_ok());
            let turns = |turn: &visionthink_protocol::Turn| (turn.text.clone(), turn.tool_call.clone());
            let said_turns: Vec<_> = dialogue.turns().iter().map(|turn| (turn.text.clone(), turn.tool_call.clone())).collect();
            prop_assert_eq!(said_turns, conversation.turns().iter().map(turns).collect::<Vec<_>>());
            prop_assert_eq!(dialogue.finish_reason(), conversation.finish_reason());
            prop_assert_eq!(dialogue.decision(), conversation.decision());
            prop_assert_eq!(dialogue.answer(), conversation.answer());
            prop_assert_eq!(dialogue.images(), conversation.images());
        }
    }

    #[test]
    fn any_ids_stream_to_what_they_decode_to(ids in prop::collection::vec(0..1600_u32, 0..40), skip in any::<bool>()) {
        let mut stream = TOKENIZER.decode_stream(skip);
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        prop_assert_eq!(text, TOKENIZER.decode(&ids, skip).unwrap());
    }

    #[test]
    fn any_text_survives_as_long_as_it_is_normalised(text in "[a-zA-Z0-9 .,!?\n<>{}\"]{0,60}") {
        prop_assert_eq!(TOKENIZER.decode(&TOKENIZER.encode(&text).unwrap(), false).unwrap(), text);
    }
}

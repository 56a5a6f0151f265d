//! Requests that cannot be served and models that cannot serve them.

use std::sync::Arc;

use burn::Tensor;
use burn::module::Param;
use burn::tensor::Device;
use visionthink_engine::{
    Backend, EmbeddedEngine, EngineError, EngineOptions, Event, Past, Sampling, ScoreRequest, SequenceId, TurnRequest,
};
use visionthink_image::Patches;
use visionthink_model::ModelError;

use crate::vectors::{finish, grid};
use crate::{behind, engine, generate, greedy, prompts, random_model, request};

#[test]
fn requests_that_cannot_be_served_are_refused_and_leave_nothing_behind() {
    let prompts = prompts();
    let (text, image) = (&prompts[0], &prompts[1]);
    let mut engine = engine(2);
    let first = generate(&mut engine, greedy(text, 2));
    let vocabulary = engine.model().config().text.vocab_size as u32;
    let picture = |values: usize, grid| Arc::new(Patches { values: vec![0.0; values], grid });
    let images = |images: Vec<Arc<Patches>>| TurnRequest { new_images: images, ..greedy(image, 2) };
    let refused: Vec<(TurnRequest, &str)> = vec![
        (TurnRequest::new(vec![], Sampling::greedy(), 2), "the prompt is empty; a turn needs at least one new id"),
        (greedy(text, 0), "`max_new_tokens` is 0; a turn samples at least one token"),
        (request(text, Sampling { top_p: 2.0, ..Sampling::greedy() }, 2), "`top_p` is 2, expected above 0, at most 1"),
        (
            TurnRequest::new(vec![1, vocabulary], Sampling::greedy(), 2),
            "token id 1536 is outside the vocabulary of 1536",
        ),
        (images(vec![]), "15 image tokens in the text, the images ask for 0"),
        (images(vec![picture(4 * 1176, grid(2, 2))]), "15 image tokens in the text, the images ask for 1"),
        (
            images(vec![picture(6 * 1176, grid(2, 3))]),
            "image 0: grid 1x2x3 patches; sides must be positive multiples of 2",
        ),
        (images(vec![picture(1176, grid(2, 2))]), "pixel values are [1, 1176], the grids ask for [4, 1176]"),
        (
            TurnRequest { stop_texts: vec!["x".into()], ..greedy(text, 2) },
            "stop texts need a tokenizer, and this engine was made without one",
        ),
        (
            TurnRequest { past: Past::Sequence { id: SequenceId(99), tokens: 0 }, ..greedy(text, 2) },
            "sequence 99 is not there; it was released, or its turn has failed",
        ),
        (
            TurnRequest::new(vec![1; 4096], Sampling::greedy(), 2),
            "the prompt is 4096 tokens long; the model takes 4096, prompt and reply together",
        ),
    ];
    for (request, message) in refused {
        assert_eq!(engine.submit(request).unwrap_err().to_string(), message);
    }
    assert!(matches!(engine.submit_group(greedy(text, 2), 0), Err(EngineError::NoSamples)));
    assert!(engine.step().unwrap().is_empty(), "nothing was queued");

    let past = text.ids.len() + 2;
    let turn = engine.submit(behind(&first, past, &[1], 2)).unwrap();
    let error = engine.submit(behind(&first, past, &[1], 2)).unwrap_err();
    assert!(matches!(error, EngineError::SequenceBusy(id) if id == first.sequence));
    finish(&mut engine, &[turn]);

    let ids = text.ids.clone();
    for from in [0, ids.len()] {
        let error = engine.score(&[ScoreRequest { ids: ids.clone(), images: Vec::new(), from }]).unwrap_err();
        assert!(matches!(error, EngineError::ScoreRange { .. }));
    }
}

#[test]
fn a_text_model_refuses_images() {
    let model = random_model(|config| config.vision = None);
    let mut engine = EmbeddedEngine::new(model, None, EngineOptions::default());
    let error = engine.submit(greedy(&prompts()[1], 1)).unwrap_err();
    assert!(matches!(error, EngineError::Model(ModelError::NoVisionTower)));
    assert_eq!(generate(&mut engine, TurnRequest::new(vec![1, 2], Sampling::greedy(), 3)).ids.len(), 3);
}

#[test]
fn logits_that_are_no_numbers_fail_their_turn_alone() {
    const BROKEN: u32 = 77;
    let mut model = random_model(|_| {});
    let weight = model.language_model.embed_tokens.weight.val();
    let width = weight.dims()[1];
    let nan = Tensor::full([1, width], f32::NAN, &Device::flex());
    let broken = weight.slice_assign([BROKEN as usize..BROKEN as usize + 1, 0..width], nan);
    model.language_model.embed_tokens.weight = Param::from_tensor(broken);
    let mut engine = EmbeddedEngine::new(model, None, EngineOptions::default());

    let avoid = |ids: Vec<u32>| TurnRequest {
        suppressed_ids: Arc::from([BROKEN]),
        ..TurnRequest::new(ids, Sampling::greedy(), 4)
    };
    let failing = engine.submit(avoid(vec![1, BROKEN, 2])).unwrap();
    let other = engine.submit(avoid(vec![1, 3, 2])).unwrap();
    let mut outcomes = Vec::new();
    while outcomes.len() < 2 {
        for event in engine.step().unwrap() {
            match event {
                Event::Token { turn, .. } => assert_eq!(turn, other),
                Event::Finished { turn, reply } => {
                    assert_eq!((turn, reply.ids.len()), (other, 4));
                    outcomes.push(turn);
                }
                Event::Failed { turn, error } => {
                    let message = error.to_string();
                    let expected = format!("turn {failing}: the logits of token 0 hold NaN at id 0; ");
                    assert!(turn == failing && message.starts_with(&expected), "{message}");
                    outcomes.push(turn);
                }
            }
        }
    }
    let again = generate(&mut engine, avoid(vec![1, 3, 2]));
    assert_eq!(again.ids.len(), 4, "the engine goes on");
}

//! Generation and scoring against transformers 5.23: every case with continuations of every checkpoint that is there.
//!
//! Limits are those of the vectors' README for float32: ids exact, log-probabilities 1e-4. Probabilities of the first
//! token are compared at 5e-5: at temperature 2 a logit off by 5e-4 / 2 moves a probability by at most a quarter of that.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
#![expect(clippy::print_stdout, reason = "the counts of cases are what these tests are run for")]

#[path = "../vectors/mod.rs"]
mod vectors;

use std::sync::Arc;

use serde_json::Value;
use vectors::{Case, Checkpoint, Row, checkpoints, close, finish, folder};
use visionthink_engine::{Backend, EmbeddedEngine, Past, Sampling, ScoreRequest, TurnReply, TurnRequest};
use visionthink_model::{Model, MropeBatch, mrope_positions};

/// Runs `check` on every case it applies to and prints one line a file.
fn every_case(
    applies: impl Fn(&Case) -> bool,
    mut check: impl FnMut(&Checkpoint, &mut EmbeddedEngine, &Case) -> Result<(), String>,
) {
    let mut failures = Vec::new();
    let mut cases = 0;
    for checkpoint in checkpoints() {
        let mut engine = checkpoint.engine(16);
        for case in checkpoint.cases().into_iter().filter(&applies) {
            cases += 1;
            let outcome = check(&checkpoint, &mut engine, &case);
            println!("reference {}: 1 cases, {} passed", case.file, u8::from(outcome.is_ok()));
            failures.extend(outcome.err().map(|error| format!("{}: {error}", case.file)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases > 0 || !folder().1, "the fixtures hold no case for this test");
}

fn request(row: &Row, sampling: Sampling, max_new_tokens: usize) -> TurnRequest {
    TurnRequest {
        new_images: row.images.clone(),
        logprobs: true,
        ..TurnRequest::new(row.ids.clone(), sampling, max_new_tokens)
    }
}

/// The replies of a case's rows against the tensors `PREFIX.ids` and `PREFIX.logprobs`.
fn compare(case: &Case, prefix: &str, replies: &[TurnReply]) -> Result<(), String> {
    let (ids, logprobs) = (format!("{prefix}.ids"), format!("{prefix}.logprobs"));
    for (row, reply) in replies.iter().enumerate() {
        let expected = case.tensors.ids(&ids);
        let expected = case.row_of(&expected, row);
        if reply.ids != expected {
            return Err(format!("{ids} of row {row} are {:?}, expected {expected:?}", reply.ids));
        }
        close(&logprobs, &reply.logprobs, case.row_of(case.tensors.floats(&logprobs), row), 1e-4)?;
    }
    Ok(())
}

fn generate(engine: &mut EmbeddedEngine, case: &Case, prefix: &str, sampling: &Sampling) -> Result<(), String> {
    let length = case.tensors.ids(&format!("{prefix}.ids")).len() / case.rows.len();
    let mut turns = Vec::new();
    for row in &case.rows {
        turns.push(engine.submit(request(row, sampling.clone(), length)).map_err(|error| error.to_string())?);
    }
    let replies = finish(engine, &turns);
    for reply in &replies {
        engine.release(reply.sequence);
    }
    compare(case, prefix, &replies)
}

#[test]
fn greedy_replies_have_the_recorded_ids_and_log_probabilities() {
    every_case(|_| true, |_, engine, case| generate(engine, case, "gen", &Sampling::greedy()));
}

#[test]
fn greedy_replies_with_a_penalty_have_the_recorded_ids_and_log_probabilities() {
    let sampling = Sampling { repetition_penalty: 1.3, ..Sampling::greedy() };
    every_case(|case| case.tensors.has("gen_rp.ids"), |_, engine, case| generate(engine, case, "gen_rp", &sampling));
}

#[test]
fn prompts_of_all_kinds_in_one_batch_do_not_change_each_other() {
    for checkpoint in checkpoints() {
        let mut engine = checkpoint.engine(16);
        let cases = checkpoint.cases();
        let mut turns = Vec::new();
        for case in &cases {
            for (row, prompt) in case.rows.iter().enumerate() {
                // Different lengths, so that rows leave one by one.
                let length = case.tensors.ids("gen.ids").len() / case.rows.len();
                let length = length.saturating_sub(turns.len() % 12).max(1);
                turns.push((case, row, engine.submit(request(prompt, Sampling::greedy(), length)).unwrap()));
            }
        }
        let ids: Vec<_> = turns.iter().map(|(_, _, turn)| *turn).collect();
        for ((case, row, _), reply) in turns.iter().zip(finish(&mut engine, &ids)) {
            let expected = case.tensors.ids("gen.ids");
            let expected = case.row_of(&expected, *row);
            assert_eq!(reply.ids, expected[..reply.ids.len()], "{} row {row}", case.file);
        }
    }
}

#[test]
fn the_first_token_is_drawn_from_the_recorded_distribution() {
    every_case(
        |case| case.tensors.has("sampling.probs"),
        |_, engine, case| {
            let row = &case.rows[0];
            let logits = last_logits(engine.model(), row);
            let distribution = sampling(&case.json["sampling"]).distribution(&logits, &row.ids, &[]);
            let mut probabilities = vec![0.0; logits.len()];
            for (id, probability) in distribution {
                probabilities[id as usize] = probability as f32;
            }
            let expected = case.tensors.floats("sampling.probs");
            close("sampling.probs", &probabilities, expected, 5e-5)?;
            let kept = |values: &[f32]| values.iter().map(|value| *value > 0.0).collect::<Vec<bool>>();
            if kept(&probabilities) == kept(expected) { Ok(()) } else { Err("other tokens are kept".into()) }
        },
    );
}

fn sampling(json: &Value) -> Sampling {
    let number = |key: &str| json[key].as_f64().unwrap();
    Sampling {
        repetition_penalty: number("repetition_penalty"),
        temperature: number("temperature"),
        top_k: json["top_k"].as_u64().unwrap() as usize,
        top_p: number("top_p"),
        ..Sampling::greedy()
    }
}

/// Logits behind a prompt, in one pass without the engine.
fn last_logits(model: &Model, row: &Row) -> Vec<f32> {
    let config = model.config();
    let grids: Vec<_> = row.images.iter().map(|image| image.grid).collect();
    let images = (!grids.is_empty()).then(|| {
        let values: Vec<f32> = row.images.iter().flat_map(|image| image.values.clone()).collect();
        let patches: usize = grids.iter().map(|grid| grid.patches()).sum();
        let shape = [patches, values.len() / patches];
        let pixels = burn::Tensor::from_data(burn::tensor::TensorData::new(values, shape), &model.device());
        model.encode_images(pixels, &grids).unwrap()
    });
    let merge = config.vision.as_ref().map_or(1, |vision| vision.spatial_merge_size as u32);
    let (positions, _) = mrope_positions(&row.ids, config.image_token_id(), &grids, merge).unwrap();
    let embeds = model.embed(&[&row.ids], images).unwrap();
    let hidden = model.forward(embeds, &MropeBatch::single(&positions), None);
    model.logits(Model::last_rows(hidden)).try_to_vec_as().unwrap()
}

#[test]
fn scores_are_the_recorded_log_probabilities() {
    every_case(
        |case| case.tensors.has("token_logprobs"),
        |_, engine, case| {
            let Row { ids, images } = case.rows[0].clone();
            let expected = case.tensors.floats("token_logprobs");
            // The whole text, and a completion at its end, in one call.
            let from = ids.len() - ids.len() / 3;
            let requests = [1, from].map(|from| ScoreRequest { ids: ids.clone(), images: images.clone(), from });
            let scores = engine.score(&requests).map_err(|error| error.to_string())?;
            close("token_logprobs", &scores[0], expected, 1e-4)?;
            close("token_logprobs of the end", &scores[1], &expected[from - 1..], 1e-4)
        },
    );
}

/// The conversation of a rollout, turn by turn over the cache: what the model said is put into its mouth, then the tool
/// response is run behind it.
#[test]
fn a_second_turn_over_the_cache_goes_on_as_recorded() {
    every_case(
        |case| case.tensors.has("response_mask"),
        |_, engine, case| {
            let Row { ids, images } = case.rows[0].clone();
            let mask = case.tensors.ids("response_mask");
            let reply_start = mask.iter().position(|sampled| *sampled == 1).unwrap();
            let reply_end = mask.iter().rposition(|sampled| *sampled == 1).unwrap() + 1;
            let last = ids[reply_end - 1];
            let vocabulary = engine.model().config().text.vocab_size as u32;
            let others: Arc<[u32]> = (0..vocabulary).filter(|id| *id != last).collect();
            let first = Row { ids: ids[..reply_end - 1].to_vec(), images: images[..1].to_vec() };
            assert!(reply_start < reply_end && images.len() == 2, "{}: not a conversation of two turns", case.file);
            let first = TurnRequest { suppressed_ids: others, ..request(&first, Sampling::greedy(), 1) };
            let first = engine.submit(first).map_err(|error| error.to_string())?;
            let sequence = finish(engine, &[first])[0].sequence;

            let before = *engine.counters();
            let second = Row { ids: ids[reply_end..].to_vec(), images: images[1..].to_vec() };
            let length = case.tensors.ids("gen.ids").len();
            let second = TurnRequest {
                past: Past::Sequence { id: sequence, tokens: reply_end },
                ..request(&second, Sampling::greedy(), length)
            };
            let second = engine.submit(second).map_err(|error| error.to_string())?;
            let replies = finish(engine, &[second]);
            let prefilled = engine.counters().prefilled_tokens - before.prefilled_tokens;
            // The new ids and the last one of the reply, which no pass had seen.
            if prefilled != (ids.len() - reply_end + 1) as u64 {
                return Err(format!("{prefilled} tokens prefilled, expected {}", ids.len() - reply_end + 1));
            }
            compare(case, "gen", &replies)
        },
    );
}

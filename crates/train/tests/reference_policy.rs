//! Policy loss, KL estimators, entropy and their gradients against the vectors of the reference, f64 throughout: 1e-10 relative, as the
//! README of the vectors asks for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the counts of cases are what these tests are run for")]

use std::path::{Path, PathBuf};

use burn::Tensor;
use burn::tensor::{DType, Device, Int, TensorData};
use serde_json::Value;
use visionthink_train::policy::{
    Aggregation, KlEstimator, PolicyInput, PolicyLoss, PolicySection, TokenRows, TokenShares, surrogate,
    token_entropies, token_log_probs,
};

/// Relative to the larger number, with a floor for sums that cancel to nearly nothing.
const TOLERANCE: f64 = 1e-10;

/// Runs `case` on every row of `rl/NAME.jsonl`, prints the counts, and fails with all differences.
fn check(name: &str, case: impl Fn(&Value) -> Result<(), String>) {
    let file = format!("rl/{name}.jsonl");
    let (folder, own) = match std::env::var_os("VISIONTHINK_REFERENCE") {
        Some(folder) => (PathBuf::from(folder), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), true),
    };
    let path = folder.join(&file);
    if !own && !path.is_file() {
        return;
    }
    let text = fs_err::read_to_string(path).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|row| case(row).err().map(|difference| format!("{file}: {}: {difference}", row["id"])))
        .collect();
    println!("reference {file}: {} cases, {} passed", rows.len(), rows.len() - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(!rows.is_empty(), "{file}: no case in it");
}

fn rows(value: &Value) -> TokenRows {
    serde_json::from_value(value.clone()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn close(what: &str, found: f64, expected: f64) -> Result<(), String> {
    if !found.is_finite() {
        return Err(format!("{what} is {found}"));
    }
    let allowed = TOLERANCE * found.abs().max(expected.abs()).max(1e-4);
    if (found - expected).abs() <= allowed {
        return Ok(());
    }
    Err(format!("{what} is {found}, expected {expected}"))
}

fn all_close(what: &str, found: &[f64], expected: &[f64]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{what}: {} numbers, expected {}", found.len(), expected.len()));
    }
    found.iter().zip(expected).enumerate().try_for_each(|(at, (a, b))| close(&format!("{what}[{at}]"), *a, *b))
}

fn flat(rows: &TokenRows) -> Vec<f64> {
    rows.iter().flatten().copied().collect()
}

fn settings(row: &Value) -> PolicySection {
    let side = |key: &str| row[key].as_f64().or_else(|| row["clip_ratio"].as_f64()).unwrap_or(0.2);
    PolicySection {
        clip_low: side("clip_ratio_low"),
        clip_high: side("clip_ratio_high"),
        kl_estimator: KlEstimator::K3,
        kl_coefficient: row["kl_loss_coef"].as_f64().unwrap_or(0.0),
        entropy_coefficient: row["entropy_coeff"].as_f64().unwrap_or(0.0),
        aggregation: Aggregation::TokenMean,
        split_turns: false,
        epochs: 1,
        mini_batches: 1,
    }
}

/// The tokens of a row, with the log-probabilities given or computed.
struct Tokens {
    log_probs: TokenRows,
    old: TokenRows,
    reference: TokenRows,
    advantages: TokenRows,
    mask: TokenRows,
}

impl Tokens {
    fn of(row: &Value, log_probs: TokenRows) -> Self {
        Self {
            log_probs,
            old: rows(&row["old_log_prob"]),
            reference: rows(&row["ref_log_prob"]),
            advantages: rows(&row["advantages"]),
            mask: rows(&row["mask"]),
        }
    }

    fn loss(&self, settings: &PolicySection) -> PolicyLoss {
        let input = PolicyInput {
            log_probs: &self.log_probs,
            old_log_probs: &self.old,
            ref_log_probs: Some(&self.reference),
            advantages: &self.advantages,
        };
        PolicyLoss::of(input, &self.shares(settings), settings)
    }

    fn shares(&self, settings: &PolicySection) -> TokenShares {
        TokenShares::of(&self.mask, settings.aggregation)
    }
}

#[test]
fn the_clipped_loss_and_its_gradients_are_the_references() {
    check("policy_loss", |row| {
        let tokens = Tokens::of(row, rows(&row["log_prob"]));
        let without = tokens.loss(&settings(row));
        close("pg_loss", without.policy_gradient, number(&row["pg_loss"]))?;
        close("pg_clipfrac", without.clip_fraction, number(&row["pg_clipfrac"]))?;
        close("ppo_kl", without.approximate_kl, number(&row["ppo_kl"]))?;
        close("kl_loss", without.kl, number(&row["kl_loss"]))?;
        all_close("grad_pg_loss", &flat(&without.gradient), &flat(&rows(&row["grad_pg_loss"])))?;
        // The loss is linear in the coefficient, so the difference of two is the gradient of the KL term.
        let with = tokens.loss(&PolicySection { kl_coefficient: 1.0, ..settings(row) });
        let kl: Vec<f64> =
            flat(&with.gradient).iter().zip(flat(&without.gradient)).map(|(with, without)| with - without).collect();
        all_close("grad_kl_loss", &kl, &flat(&rows(&row["grad_kl_loss"])))
    });
}

#[test]
fn the_kl_estimators_are_the_references() {
    check("kl_penalty", |row| {
        let (log_probs, reference) = (flat(&rows(&row["log_prob"])), flat(&rows(&row["ref_log_prob"])));
        let estimates = |estimator: KlEstimator| -> Vec<_> {
            log_probs.iter().zip(&reference).map(|(a, b)| estimator.estimate(*a, *b)).collect()
        };
        for (name, estimator) in [
            ("kl", KlEstimator::K1),
            ("abs", KlEstimator::Abs),
            ("mse", KlEstimator::K2),
            ("low_var_kl", KlEstimator::K3),
        ] {
            let found: Vec<f64> = estimates(estimator).iter().map(|one| one.value).collect();
            all_close(name, &found, &flat(&rows(&row[name])))?;
        }
        let slopes: Vec<f64> = estimates(KlEstimator::K3).iter().map(|one| one.gradient).collect();
        all_close("grad_low_var_kl", &slopes, &flat(&rows(&row["grad_low_var_kl"])))
    });
}

/// Logits [B * T, V] in f64.
fn logits(row: &Value, device: &Device) -> Tensor<2> {
    let values: Vec<Vec<Vec<f64>>> = serde_json::from_value(row["logits"].clone()).unwrap();
    let width = values[0][0].len();
    let values: Vec<f64> = values.into_iter().flatten().flatten().collect();
    let shape = [values.len() / width, width];
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F64))
}

fn labels(row: &Value, device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i64> = rows(&row["labels"]).into_iter().flatten().map(|label| label as i64).collect();
    Tensor::from_data(TensorData::from(labels.as_slice()), device)
}

fn host(tensor: Tensor<1>) -> Vec<f64> {
    tensor.try_to_vec_as().unwrap()
}

/// Numbers cut into rows as long as those of `like`.
fn shaped(numbers: &[f64], like: &TokenRows) -> TokenRows {
    let mut rest = numbers;
    like.iter()
        .map(|row| {
            let (head, tail) = rest.split_at(row.len());
            rest = tail;
            head.to_vec()
        })
        .collect()
}

#[test]
fn entropies_and_log_probabilities_of_logits_are_the_references() {
    check("entropy", |row| {
        let device = Device::flex();
        let mask = rows(&row["mask"]);
        let entropies = host(token_entropies(logits(row, &device), 1.0));
        all_close("entropy", &entropies, &flat(&rows(&row["entropy"])))?;
        let log_probs = host(token_log_probs(logits(row, &device), labels(row, &device), 1.0));
        all_close("log_prob", &log_probs, &flat(&rows(&row["log_prob"])))?;
        let weights = flat(&Aggregation::TokenMean.weights(&mask));
        let mean: f64 = entropies.iter().zip(weights).map(|(entropy, weight)| entropy * weight).sum();
        close("entropy_loss", mean, number(&row["entropy_loss"]))
    });
}

#[test]
fn the_whole_loss_reaches_the_logits_as_in_the_reference() {
    check("actor_loss", |row| {
        let device = Device::flex().autodiff();
        let settings = settings(row);
        let temperature = number(&row["temperature"]);
        let leaf = logits(row, &device).require_grad();
        let log_probs = token_log_probs(leaf.clone(), labels(row, &device), temperature);
        let entropies = token_entropies(leaf.clone(), temperature);
        let mask = rows(&row["mask"]);
        let tokens = Tokens::of(row, shaped(&host(log_probs.clone().inner()), &mask));
        all_close("log_prob", &flat(&tokens.log_probs), &flat(&rows(&row["log_prob"])))?;
        let loss = tokens.loss(&settings);
        close("pg_loss", loss.policy_gradient, number(&row["pg_loss"]))?;
        close("pg_clipfrac", loss.clip_fraction, number(&row["pg_clipfrac"]))?;
        close("ppo_kl", loss.approximate_kl, number(&row["ppo_kl"]))?;
        close("kl_loss", loss.kl, number(&row["kl_loss"]))?;
        let entropy: f64 = host(entropies.clone().inner())
            .iter()
            .zip(flat(&tokens.shares(&settings).loss))
            .map(|(h, weight)| h * weight)
            .sum();
        close("entropy_loss", entropy, number(&row["entropy_loss"]))?;
        let total = loss.policy_gradient - settings.entropy_coefficient * entropy + settings.kl_coefficient * loss.kl;
        close("policy_loss", total, number(&row["policy_loss"]))?;

        let gradients =
            surrogate(log_probs, Some(entropies), &loss, &tokens.shares(&settings), settings.entropy_coefficient)
                .backward();
        let found: Vec<f64> = leaf.grad(&gradients).unwrap().try_to_vec_as().unwrap();
        let expected: Vec<Vec<Vec<f64>>> = serde_json::from_value(row["grad_logits"].clone()).unwrap();
        let expected: Vec<f64> = expected.into_iter().flatten().flatten().collect();
        all_close("grad_logits", &found, &expected)
    });
}

#[test]
fn micro_batches_weigh_tokens_as_the_reference_does() {
    check("loss_accumulation", |row| {
        let tokens = Tokens::of(row, rows(&row["log_prob"]));
        for (size, expected) in row["by_micro_batch_size"].as_object().unwrap() {
            let aggregation = Aggregation::MicroBatchTokenMean(size.parse().unwrap());
            let settings = PolicySection { aggregation, ..settings(row) };
            let loss = tokens.loss(&settings);
            let total = loss.policy_gradient + settings.kl_coefficient * loss.kl;
            close(&format!("loss of size {size}"), total, number(&expected["loss"]))?;
            all_close(
                &format!("gradient of size {size}"),
                &flat(&loss.gradient),
                &flat(&rows(&expected["grad_log_prob"])),
            )?;
        }
        Ok(())
    });
}

//! Scores over many answers. Where the items are predictions they go through [`score`], as a user's would.

use serde_json::{Value, json};
use visionthink_eval::metrics::{mmvet, ocrbench};
use visionthink_eval::{Benchmark, Options, score};

use crate::{check, field, items, near, near_all, text};

/// The aggregate of a benchmark over items whose fields are named as the rows of a user's.
fn aggregate(benchmark: Benchmark, items: &[Value]) -> Result<Value, String> {
    let report = score(benchmark, items, &Options::default()).map_err(|error| error.to_string())?;
    serde_json::to_value(report.aggregate).map_err(|error| error.to_string())
}

/// The items with a field under another name.
fn renamed(input: &Value, from: &str, to: &str) -> Vec<Value> {
    let rename = |item: &Value| {
        let mut item = item.clone();
        item[to] = item[from].clone();
        item
    };
    items(input).iter().map(rename).collect()
}

#[test]
fn ocrbench_aggregate() {
    check("ocrbench_aggregate", |input, expected| {
        let questions: Vec<_> =
            items(input).iter().map(|item| (field(item, "question_type"), item["score"] == json!(1))).collect();
        let found = json!(ocrbench::aggregate(&questions));
        for name in ["final_score", "accuracy", "text_recognition"] {
            near(name, found[name].as_f64().unwrap(), &expected[name])?;
        }
        near_all("per_type", &found["per_type"], &expected["per_type"])
    });
}

#[test]
fn mme_aggregate() {
    check("mme_aggregate", |input, expected| {
        let found = aggregate(Benchmark::Mme, items(input))?;
        near("perception", field(&found, "perception"), &expected["perception"])?;
        near("cognition", field(&found, "cognition"), &expected["cognition"])?;
        near_all("categories", &found["categories"], &expected["categories"])
    });
}

#[test]
fn pope_aggregate() {
    check("pope_aggregate", |input, expected| near_all("scores", &aggregate(Benchmark::Pope, items(input))?, expected));
}

#[test]
fn mmmu_aggregate() {
    check("mmmu_aggregate", |input, expected| {
        let found = aggregate(Benchmark::Mmmu, &renamed(input, "response", "prediction"))?;
        near("overall", field(&found, "overall"), &expected["overall"])?;
        for part in ["num", "acc"] {
            let part_of = |groups: &Value| -> Value {
                groups.as_object().unwrap().iter().map(|(name, group)| (name.clone(), group[part].clone())).collect()
            };
            near_all(part, &part_of(&found["groups"]), &part_of(&expected["groups"]))?;
        }
        Ok(())
    });
}

#[test]
fn mmbench_circular() {
    check("mmbench_circular", |input, expected| {
        let found = aggregate(Benchmark::MmBench, items(input))?;
        near("overall", field(&found, "overall"), &expected["overall"])?;
        near_all("category", &found["category"], &expected["category"])?;
        near_all("l2_category", &found["l2_category"], &expected["l2_category"])
    });
}

/// The recording goes by the names in the harness's log, and `rec` and `ocr` name a capability and a combination. The
/// combination is logged later: it stands under the capabilities, and is missing where it belongs.
#[test]
fn mmvet_aggregate() {
    check("mmvet_aggregate", |input, expected| {
        let questions: Vec<(f64, &str)> =
            items(input).iter().map(|item| (field(item, "score"), text(item, "capability"))).collect();
        let mut found = json!(mmvet::aggregate(&questions));
        for name in ["rec", "ocr"] {
            let combination = found["combination"].as_object_mut().unwrap().remove(name).unwrap();
            found["capability"][name] = combination;
        }
        near("overall", field(&found, "overall"), &expected["overall"])?;
        near_all("capability", &found["capability"], &expected["capability"])?;
        near_all("combination", &found["combination"], &expected["combination"])
    });
}

#[test]
fn hallusion_aggregate() {
    check("hallusion_aggregate", |input, expected| {
        near_all("scores", &aggregate(Benchmark::HallusionBench, items(input))?, expected)
    });
}

#[test]
fn hallusion_yesno_aggregate() {
    check("hallusion_yesno_aggregate", |input, expected| {
        let rows = renamed(input, "model_prediction", "prediction");
        near_all("scores", &aggregate(Benchmark::HallusionBenchYesNo, &rows)?, expected)
    });
}

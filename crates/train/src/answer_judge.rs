//! Who says whether an answer is right: a rule, or a language model.

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use visionthink_judge::{Counts, Ended, Judge, JudgeEndpoint, JudgeError, Prices, Task};
use visionthink_reward::Accuracy;
use visionthink_reward::judge::Question;
use visionthink_rules::{Rule, Tolerance, Truth};

use crate::checkpoint_judge::{CheckpointJudge, JudgeCheckpoint};
use crate::error::TrainError;

/// What a run file says of the judge: the name of a rule (`judge = "exact"`), `judge = { numeric = { … } }`, or a section
/// `[….judge.endpoint]` or `[….judge.checkpoint]`.
#[derive(Debug, Clone, PartialEq)]
pub enum JudgeSection {
    /// A rule that needs no language model.
    Rule(Rule),
    /// A language model over HTTP.
    Endpoint(Box<JudgeEndpoint>),
    /// A language model in this process.
    Checkpoint(JudgeCheckpoint),
}

/// The forms of the section that are tables.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Table {
    Numeric(Tolerance),
    Endpoint(Box<JudgeEndpoint>),
    Checkpoint(JudgeCheckpoint),
}

impl<'de> Deserialize<'de> for JudgeSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Section;
        impl<'de> Visitor<'de> for Section {
            type Value = JudgeSection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a rule, or a table `numeric`, `endpoint` or `checkpoint`")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<JudgeSection, E> {
                Rule::deserialize(StrDeserializer::new(name)).map(JudgeSection::Rule)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<JudgeSection, A::Error> {
                Ok(match Table::deserialize(MapAccessDeserializer::new(table))? {
                    Table::Numeric(tolerance) => JudgeSection::Rule(Rule::Numeric(tolerance)),
                    Table::Endpoint(endpoint) => JudgeSection::Endpoint(endpoint),
                    Table::Checkpoint(checkpoint) => JudgeSection::Checkpoint(checkpoint),
                })
            }
        }
        deserializer.deserialize_any(Section)
    }
}

impl Serialize for JudgeSection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rule(rule) => rule.serialize(serializer),
            Self::Endpoint(endpoint) => Table::Endpoint(endpoint.clone()).serialize(serializer),
            Self::Checkpoint(checkpoint) => Table::Checkpoint(checkpoint.clone()).serialize(serializer),
        }
    }
}

impl JudgeSection {
    /// Keys below the section that say where a judge is and how patiently it is asked. They change no verdict, so a resumed run may change
    /// them: a judge that could not be reached may have moved.
    pub(crate) const FREE_KEYS: [&str; 13] = [
        "endpoint.url",
        "endpoint.api_version",
        "endpoint.key_env",
        "endpoint.key_file",
        "endpoint.concurrency",
        "endpoint.timeout_secs",
        "endpoint.failure_wait_secs",
        "endpoint.rate_limit_wait_secs",
        "endpoint.max_backoff_secs",
        "endpoint.max_wait_secs",
        "endpoint.max_unreachable",
        "endpoint.prices",
        "checkpoint.max_rows",
    ];

    /// What tokens cost, where the run file says so.
    pub(crate) fn prices(&self) -> Option<&Prices> {
        match self {
            Self::Rule(_) | Self::Checkpoint(_) => None,
            Self::Endpoint(endpoint) => endpoint.prices.as_ref(),
        }
    }

    /// All values that no judge can work with; `section` is what the run file calls this section.
    pub fn problems(&self, section: &str) -> Vec<String> {
        match self {
            Self::Rule(rule) => rule.check().err().map(|error| format!("`{section}`: {error}")).into_iter().collect(),
            Self::Endpoint(endpoint) => endpoint.problems(&format!("{section}.endpoint")),
            Self::Checkpoint(checkpoint) => checkpoint.problems(&format!("{section}.checkpoint")),
        }
    }
}

/// An answer that somebody gave.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The question.
    pub question: &'a str,
    /// What is true; one of several answers is enough.
    pub truth: Truth<'a>,
    /// What was given; `None` where nothing was, which is wrong without being judged.
    pub answer: Option<&'a str>,
}

/// A judge at work.
#[derive(Debug)]
pub enum AnswerJudge {
    /// A rule.
    Rule(Rule),
    /// A language model.
    Model(Box<Judge>),
}

/// Why answers have no verdicts.
#[derive(Debug, thiserror::Error)]
pub enum NoVerdicts {
    /// The judge cannot be asked at all.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// It was asked, and could not say anything about a single answer.
    #[error("{judge} judged none of {answers} answers in {calls} calls; the last one: {fault}")]
    Useless {
        /// The judge, by its model and place.
        judge: String,
        /// What it was shown.
        answers: usize,
        /// Calls that were made.
        calls: u64,
        /// What became of the last one.
        fault: String,
    },
    /// The run was told to end while answers were being judged.
    #[error("called off while answers were being judged")]
    CalledOff,
}

impl AnswerJudge {
    /// Opens what the run file names; a checkpoint is loaded onto `device`. Verdicts of a language model are kept in the folder
    /// `verdicts`; nothing is asked yet.
    ///
    /// # Errors
    /// A key that is not there, a folder that cannot be used, a checkpoint that cannot be loaded.
    pub fn open(section: &JudgeSection, verdicts: &Path, device: &Device) -> Result<Self, TrainError> {
        Ok(match section {
            JudgeSection::Rule(rule) => Self::Rule(*rule),
            JudgeSection::Endpoint(endpoint) => {
                Self::Model(Box::new(Judge::open(endpoint.as_ref().clone(), Some(verdicts))?))
            }
            JudgeSection::Checkpoint(checkpoint) => {
                let respondent = CheckpointJudge::load(checkpoint, device)?;
                Self::Model(Box::new(Judge::of(Box::new(respondent), Some(verdicts))?))
            }
        })
    }

    /// What a language model has cost so far.
    pub fn counts(&self) -> Option<Counts> {
        match self {
            Self::Rule(_) => None,
            Self::Model(judge) => Some(*judge.counts()),
        }
    }

    /// Judges answers, several at a time where a language model does it. An answer that it cannot judge is unjudged.
    ///
    /// # Errors
    /// [`NoVerdicts`]: where not a single answer of several could be judged, it is the judge that is at fault.
    pub fn judge(&mut self, given: &[Given<'_>], stop: &AtomicBool) -> Result<Vec<Accuracy>, NoVerdicts> {
        match self {
            Self::Rule(rule) => Ok(given.iter().map(|one| by_rule(*rule, one)).collect()),
            Self::Model(judge) => by_model(judge, given, stop),
        }
    }
}

fn by_rule(rule: Rule, given: &Given<'_>) -> Accuracy {
    let right = given.answer.is_some_and(|answer| rule.judge(answer, &given.truth).is_correct());
    if right { Accuracy::Correct } else { Accuracy::Wrong }
}

fn by_model(judge: &mut Judge, given: &[Given<'_>], stop: &AtomicBool) -> Result<Vec<Accuracy>, NoVerdicts> {
    let truths: Vec<String> = given.iter().map(|one| one.truth.answers.join(" or ")).collect();
    let asked: Vec<(usize, Task<'_>)> = given
        .iter()
        .zip(&truths)
        .enumerate()
        .filter_map(|(index, (one, truth))| {
            let question = Question { question: one.question, ground_truth: truth, prediction: one.answer? };
            Some((index, Task { id: "", question }))
        })
        .collect();
    let tasks: Vec<Task<'_>> = asked.iter().map(|(_, task)| *task).collect();
    let mut verdicts = vec![Accuracy::Wrong; given.len()];
    let (mut unjudged, mut prompts, mut fault) = (0, 0, None);
    let before = judge.counts().requests;
    let ended = judge.judge_all(&tasks, stop, &mut |judged| {
        verdicts[asked[judged.index].0] = judged.judgement.accuracy;
        if judged.judgement.accuracy == Accuracy::Unjudged {
            unjudged += 1;
            prompts += usize::from(judged.judgement.calls > 0);
            fault.clone_from(&judged.judgement.fault);
        }
        Ok(())
    })?;
    if ended == Ended::Cancelled {
        return Err(NoVerdicts::CalledOff);
    }
    // One answer that all gave, and that is doubtful, says nothing about the judge.
    if unjudged == tasks.len() && prompts > 1 {
        return Err(NoVerdicts::Useless {
            judge: judge.to_string(),
            answers: unjudged,
            calls: judge.counts().requests - before,
            fault: fault.map_or_else(String::new, |fault| fault.to_string()),
        });
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        judge: JudgeSection,
    }

    fn read(text: &str) -> Result<JudgeSection, String> {
        toml::from_str::<File>(text).map(|file| file.judge).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_judge_is_a_rule_by_name_or_an_endpoint_and_is_written_as_it_was_read() {
        let endpoint = "[judge.endpoint]\nkind = \"openai\"\nurl = \"http://localhost:1/v1\"\nmodel = \"m\"\n";
        for text in [
            "judge = \"exact\"",
            "judge = \"rule-based\"",
            "judge = { numeric = { relative = 0.05, absolute = 0.0 } }",
            endpoint,
            "[judge.checkpoint]\nmodel = \"judge\"\nmax_new_tokens = 512\nvariant = { kind = \"verifier\", family = \"qwen3\" }\n",
        ] {
            let file: File = toml::from_str(text).unwrap();
            let written = toml::to_string(&file).unwrap();
            assert_eq!(toml::from_str::<File>(&written).unwrap(), file, "{written}");
        }
        assert_eq!(read("judge = \"exact\""), Ok(JudgeSection::Rule(Rule::Exact)));
        assert!(matches!(read(endpoint), Ok(JudgeSection::Endpoint(endpoint)) if endpoint.model == "m"));
    }

    #[test]
    fn a_judge_that_is_none_is_told_what_there_is() {
        assert!(read("judge = \"guess\"").unwrap_err().contains("`exact`"));
        assert!(read("judge = 3").unwrap_err().contains("the name of a rule"));
        let unknown = read("[judge.endpoint]\nretries = 3\n").unwrap_err();
        assert!(unknown.contains("`retries`"), "{unknown}");
        let section = read("judge = { numeric = { relative = -1.0, absolute = 0.0 } }").unwrap();
        let problems = section.problems("reward.judge");
        assert!(problems.len() == 1 && problems[0].starts_with("`reward.judge`: `relative`"), "{problems:?}");
    }

    #[test]
    fn a_rule_judges_what_was_given_and_nothing_is_wrong() {
        let mut judge = AnswerJudge::Rule(Rule::Exact);
        let truth = Truth { answers: &["top left"], options: &[] };
        let given = |answer| Given { question: "Where?", truth, answer };
        let answers = [given(Some(" Top left\n")), given(Some("top left corner")), given(None)];
        let verdicts = judge.judge(&answers, &AtomicBool::new(false)).unwrap();
        assert_eq!(verdicts, [Accuracy::Correct, Accuracy::Wrong, Accuracy::Wrong]);
        assert_eq!(judge.counts(), None);
    }
}

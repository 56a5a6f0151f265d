//! What a benchmark of a run file asks: rows of a data set, or drawn pictures.

use serde_json::{Value, json};
use visionthink_data::world::{Family, Split, draw_one};
use visionthink_image::RgbImage;

use super::file::{BenchmarkSection, SyntheticSection};
use crate::benchmarks;
use crate::dataset::{Dataset, DatasetOptions, ImageCheck, Part, Sample, ShardOf};
use crate::error::{EvalError, Result};

/// One question, ready to be asked.
#[derive(Debug)]
pub struct Question {
    /// Its place in the benchmark, counted from 0.
    pub index: u64,
    /// Its name in the data set.
    pub id: String,
    /// The text that is asked.
    pub text: String,
    /// What the rules of the benchmark read beside a reply.
    pub row: Value,
    /// What it is about.
    pub pictures: Pictures,
    /// What keeps it from being asked or scored.
    pub problem: Option<String>,
}

/// The pictures of a question, in the order in which they are shown.
#[derive(Debug)]
pub enum Pictures {
    /// A drawn one.
    Drawn(RgbImage),
    /// Files, still encoded; their headers were read.
    Encoded(Vec<Vec<u8>>),
}

/// The questions of a benchmark.
#[derive(Debug)]
pub struct Questions {
    source: Source,
    part: Part,
}

#[derive(Debug)]
enum Source {
    Synthetic(SyntheticSection),
    Dataset(Box<Dataset>),
}

impl Questions {
    /// Opens what a benchmark asks; of a shard only its part. The section is one that [`RunFile`](super::RunFile) has checked.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open(section: &BenchmarkSection, shard: Option<ShardOf>) -> Result<Self> {
        let part = Part { limit: section.limit, shard };
        part.check()?;
        let source = match (&section.synthetic, &section.dataset, &section.data) {
            (Some(synthetic), ..) => Source::Synthetic(synthetic.clone()),
            (None, Some(name), Some(path)) => {
                let task = section.task.as_deref().map(str::parse).transpose()?;
                // Whoever asks decodes the pictures all the same.
                let options = DatasetOptions { split: section.split.clone(), task, part, check: ImageCheck::Header };
                Source::Dataset(Box::new(Dataset::open(benchmarks::find(name)?, path, &options)?))
            }
            _ => return Err(EvalError::UnknownDataset { name: section.dataset.clone().unwrap_or_default() }),
        };
        Ok(Self { source, part })
    }

    /// How many there are, rows that cannot be read included. Files that do not tell are read once.
    ///
    /// # Errors
    /// As [`Dataset::samples`].
    pub fn count(&self) -> Result<u64> {
        Ok(match &self.source {
            Source::Synthetic(drawn) => self.part.count(drawn.count()),
            Source::Dataset(dataset) => match dataset.count() {
                Some(count) => count,
                None => dataset.samples()?.count() as u64,
            },
        })
    }

    /// The questions that `wanted` says are to be asked, in order. Pictures of the others are neither drawn nor kept.
    ///
    /// An `Err` is a row that cannot be read, which so stays unasked; the rows behind it follow.
    ///
    /// # Errors
    /// As [`Dataset::samples`].
    pub fn read<'a>(
        &'a self,
        wanted: impl Fn(u64) -> bool + Send + 'a,
    ) -> Result<Box<dyn Iterator<Item = Result<Question>> + Send + 'a>> {
        Ok(match &self.source {
            Source::Synthetic(drawn) => {
                let places = (0..drawn.count()).take_while(|place| !self.part.is_behind(*place));
                let places = places.filter(|place| self.part.has(*place)).filter(move |place| wanted(*place));
                Box::new(places.map(|place| Ok(drawn.question(place))))
            }
            Source::Dataset(dataset) => Box::new(dataset.samples()?.filter_map(move |sample| match sample {
                Ok(sample) if wanted(sample.index) => Some(Ok(Question::from(sample))),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })),
        })
    }
}

impl From<Sample> for Question {
    fn from(sample: Sample) -> Self {
        let problems: Vec<String> = sample.defects.iter().map(ToString::to_string).collect();
        Self {
            index: sample.index,
            id: sample.id,
            text: sample.question,
            row: sample.row,
            pictures: Pictures::Encoded(sample.images),
            problem: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }
}

impl SyntheticSection {
    fn count(&self) -> u64 {
        (self.seeds.len() as u64).saturating_mul(self.families.len() as u64).saturating_mul(self.questions)
    }

    /// The question at a place: seed by seed, family by family. Equal sections give equal questions on every machine.
    fn question(&self, place: u64) -> Question {
        let (group, index) = (place / self.questions.max(1), place % self.questions.max(1));
        let families = self.families.len().max(1) as u64;
        let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let family = self.families.get(at(group % families)).copied().unwrap_or(Family::Scene);
        let seed = self.seeds.get(at(group / families)).copied().unwrap_or_default();
        let (image, asked) = draw_one(family, Split::Test, seed, index);
        let row = json!({
            "answer": asked.answer,
            "family": family.name(),
            "needs_full": asked.needs_full(),
            "seed": seed,
        });
        Question {
            index: place,
            id: format!("{}-{seed}-{index}", family.name()),
            text: asked.question,
            row,
            pictures: Pictures::Drawn(image),
            problem: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(limit: Option<u64>) -> BenchmarkSection {
        let synthetic =
            SyntheticSection { families: vec![Family::Chart, Family::Scene], questions: 3, seeds: vec![1, 2] };
        BenchmarkSection {
            name: "drawn".into(),
            dataset: None,
            data: None,
            split: None,
            task: None,
            synthetic: Some(synthetic),
            metric: "own-exact".into(),
            limit,
        }
    }

    fn ids(limit: Option<u64>, shard: Option<ShardOf>, wanted: impl Fn(u64) -> bool + Send) -> Vec<String> {
        let questions = Questions::open(&section(limit), shard).unwrap();
        questions.read(wanted).unwrap().map(|question| question.unwrap().id).collect()
    }

    #[test]
    fn drawn_questions_go_seed_by_seed_and_family_by_family() {
        let all = ids(None, None, |_| true);
        assert_eq!(all.len(), 12);
        assert_eq!(all[..4], ["chart-1-0", "chart-1-1", "chart-1-2", "scene-1-0"]);
        assert_eq!(all[11], "scene-2-2");
        assert_eq!(Questions::open(&section(Some(5)), None).unwrap().count().unwrap(), 5);
    }

    #[test]
    fn shards_ask_everything_once_and_what_is_done_is_not_drawn() {
        let shards: Vec<String> =
            (0..2).flat_map(|index| ids(Some(7), Some(ShardOf { index, of: 2 }), |_| true)).collect();
        let mut sorted = shards.clone();
        sorted.sort_unstable();
        let mut whole = ids(Some(7), None, |_| true);
        whole.sort_unstable();
        assert_eq!(sorted, whole);
        assert_eq!(ids(Some(7), None, |place| place >= 5), ["scene-1-2", "chart-2-0"]);
    }

    #[test]
    fn a_shard_that_does_not_exist_is_refused() {
        let error = Questions::open(&section(None), Some(ShardOf { index: 2, of: 2 })).unwrap_err();
        assert!(error.to_string().starts_with("shard 2 of 2 does not exist"), "{error}");
    }
}

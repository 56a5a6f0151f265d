//! Where pictures and their questions come from.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use visionthink_data::Question as Row;
use visionthink_data::selection::Need;
use visionthink_data::world::{self, Family, Size, Split};
use visionthink_image::RgbImage;

use crate::config::{FilesSection, SyntheticSection};
use crate::error::TrainError;
use crate::rows::FileRows;

/// A picture with what can be asked about it.
#[derive(Debug, Clone)]
pub struct Example {
    /// The picture at full size.
    pub image: RgbImage,
    /// Its name, for messages.
    pub id: String,
    /// The kind of picture, for reports.
    pub family: String,
    /// Which image its question needs as rollouts have shown, where a curation has found out.
    pub class: Option<Need>,
    /// At least one question.
    pub questions: Vec<Question>,
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The text.
    pub text: String,
    /// The one right answer.
    pub answer: String,
    /// The kind of question, for reports.
    pub topic: String,
    /// Known to be out of reach of the low-resolution image.
    pub needs_full: bool,
}

/// Training and held-out examples.
#[derive(Debug)]
pub enum Source {
    /// Drawn on demand.
    Synthetic(SyntheticSection),
    /// Read from files.
    Files {
        /// Rows to learn from.
        train: FileRows,
        /// Held-out rows, whose pictures are whole.
        eval: Box<FileRows>,
    },
}

impl Source {
    /// Opens what the run file names.
    ///
    /// # Errors
    /// A file that cannot be read, [`TrainError::BadRows`] or [`TrainError::NoQuestions`].
    pub fn open(synthetic: Option<&SyntheticSection>, files: Option<&FilesSection>) -> Result<Self, TrainError> {
        match (synthetic, files) {
            (Some(synthetic), _) => Ok(Self::Synthetic(synthetic.clone())),
            (None, Some(FilesSection { train, eval, max_bad_rows })) => Ok(Self::Files {
                train: FileRows::open(train, *max_bad_rows)?,
                eval: Box::new(FileRows::open(eval, *max_bad_rows)?.checked()?),
            }),
            (None, None) => unreachable!("a checked run file names a source"),
        }
    }

    /// A training example; `index` numbers the examples of the whole run. A row whose picture is broken is counted, and another takes its
    /// place.
    ///
    /// # Errors
    /// More such rows than the run file allows, or nothing but such rows.
    pub fn train(&self, index: u64, close_up_share: f64, random: &mut ChaCha8Rng) -> Result<Example, TrainError> {
        match self {
            Self::Synthetic(synthetic) => {
                let family = synthetic.families[random.random_range(0..synthetic.families.len())];
                let size = if random.random_bool(close_up_share) { Size::CloseUp } else { Size::Whole };
                Ok(drawn(family, size, Split::Train, synthetic.seed, index))
            }
            Self::Files { train, .. } => loop {
                // Ends: every broken picture is counted, and the last one is an error.
                if let Some((row, image)) = train.at(random.random_range(0..train.len()))? {
                    return Ok(example(row, image));
                }
            },
        }
    }

    /// Held-out example `index`: families in turn, or rows in order.
    ///
    /// # Errors
    /// An image file that was whole when the run began and is no longer.
    pub fn held_out(&self, index: usize) -> Result<Example, TrainError> {
        match self {
            Self::Synthetic(synthetic) => {
                let family = synthetic.families[index % synthetic.families.len()];
                Ok(drawn(family, Size::Whole, Split::Test, synthetic.eval_seed, index as u64))
            }
            Self::Files { eval, .. } => {
                let (row, image) = eval.at(index % eval.len())?.ok_or_else(|| eval.gone())?;
                Ok(example(row, image))
            }
        }
    }

    /// Held-out examples there are; `None` for as many as are asked for.
    pub fn held_out_count(&self) -> Option<usize> {
        match self {
            Self::Synthetic(_) => None,
            Self::Files { eval, .. } => Some(eval.len()),
        }
    }
}

fn drawn(family: Family, size: Size, split: Split, seed: u64, index: u64) -> Example {
    let picture = world::draw(family, size, split, seed, index);
    let questions = picture
        .questions
        .into_iter()
        .map(|asked| Question {
            needs_full: asked.needs_full(),
            topic: format!("{:?}", asked.topic).to_lowercase(),
            text: asked.question,
            answer: asked.answer,
        })
        .collect();
    Example {
        image: picture.image,
        id: format!("{}-{}-{seed}-{index}", family.name(), split.name()),
        family: family.name().to_string(),
        class: None,
        questions,
    }
}

fn example(row: &Row, image: RgbImage) -> Example {
    let class = row.selection.map(|selection| selection.class);
    let question = Question {
        text: row.question.clone(),
        answer: row.answer.clone(),
        topic: row.family.clone().unwrap_or_else(|| row.source.clone()),
        // The truth where the row knows it, as a measure has to have it; else what rollouts have shown.
        needs_full: row.needs_full.unwrap_or(class == Some(Need::NeedsFull)),
    };
    Example { image, id: row.id.clone(), family: row.source.clone(), class, questions: vec![question] }
}

/// Picks up to `count` different questions, each with probability `hard_share` one that needs the full image, and every topic of its
/// kind with equal probability, so that topics with many questions do not crowd out the others. Never none.
pub fn pick_questions(
    questions: Vec<Question>,
    count: usize,
    hard_share: f64,
    random: &mut ChaCha8Rng,
) -> Vec<Question> {
    let hard_count = (0..count).filter(|_| random.random_bool(hard_share)).count();
    let (mut hard, mut easy): (Vec<_>, Vec<_>) = questions.into_iter().partition(|question| question.needs_full);
    let mut picked = Vec::with_capacity(count);
    take_by_topic(&mut hard, hard_count, &mut picked, random);
    take_by_topic(&mut easy, count - hard_count, &mut picked, random);
    if picked.is_empty() {
        // The picture has no question of the kind drawn.
        take_by_topic(&mut easy, 1, &mut picked, random);
        take_by_topic(&mut hard, 1 - picked.len(), &mut picked, random);
    }
    picked.shuffle(random);
    picked
}

fn take_by_topic(from: &mut Vec<Question>, count: usize, into: &mut Vec<Question>, random: &mut ChaCha8Rng) {
    for _ in 0..count.min(from.len()) {
        let mut topics: Vec<&str> = from.iter().map(|question| question.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        let topic = topics[random.random_range(0..topics.len())];
        let of_topic: Vec<usize> = (0..from.len()).filter(|&at| from[at].topic == topic).collect();
        let at = of_topic[random.random_range(0..of_topic.len())];
        into.push(from.remove(at));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn question(topic: &str, number: usize, needs_full: bool) -> Question {
        Question {
            text: format!("{topic} {number}?"),
            answer: number.to_string(),
            topic: topic.to_string(),
            needs_full,
        }
    }

    fn questions() -> Vec<Question> {
        let easy = (0..8).map(|number| question("colour", number, false)).chain([question("count", 0, false)]);
        easy.chain((0..4).map(|number| question("code", number, true))).collect()
    }

    #[test]
    fn questions_are_different_and_of_the_kind_asked_for() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..50 {
            let easy = pick_questions(questions(), 6, 0.0, &mut random);
            assert!(easy.len() == 6 && easy.iter().all(|one| !one.needs_full));
            let hard = pick_questions(questions(), 6, 1.0, &mut random);
            assert_eq!(hard.len(), 4, "there are no more");
            let mut texts: Vec<_> = easy.iter().map(|one| &one.text).collect();
            texts.sort_unstable();
            texts.dedup();
            assert_eq!(texts.len(), 6);
        }
    }

    #[test]
    fn a_rare_topic_is_asked_as_often_as_a_frequent_one() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let count = (0..400).filter(|_| pick_questions(questions(), 1, 0.0, &mut random)[0].topic == "count").count();
        assert!((160..240).contains(&count), "{count} of 400");
    }

    #[test]
    fn a_picture_without_a_question_of_the_kind_drawn_is_asked_another() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let picked = pick_questions(vec![question("code", 1, true)], 2, 0.0, &mut random);
        assert_eq!(picked.len(), 1);
    }
}

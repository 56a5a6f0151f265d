//! `visionthink synth`: pictures and questions of the synthetic world, as JSONL with PNG files and as Parquet.

use anyhow::Context;
use visionthink_data::world::{Family, draw_one};
use visionthink_data::{ImageSource, JsonlWriter, ParquetWriter, Question};

use crate::args::SynthArguments;
use crate::output;
use crate::progress;

pub(crate) fn run(arguments: &SynthArguments) -> anyhow::Result<()> {
    let mut families = if arguments.family.is_empty() { Family::ALL.to_vec() } else { arguments.family.clone() };
    families.sort_unstable();
    families.dedup();
    let name = arguments.split.name();
    let out = &arguments.out;
    let mut jsonl = JsonlWriter::create(out.join(format!("{name}.jsonl")))?;
    let mut parquet = ParquetWriter::create(out.join(format!("{name}.parquet")))?;
    let bar = progress::bar(arguments.n * families.len() as u64, "drawing");
    for family in families {
        for index in 0..arguments.n {
            let (image, asked) = draw_one(family, arguments.split, arguments.seed, index);
            let row = Question {
                id: format!("{}-{name}-{}-{index}", family.name(), arguments.seed),
                image: ImageSource::Bytes(image.encode_png()?),
                needs_full: Some(asked.needs_full()),
                question: asked.question,
                answer: asked.answer,
                source: "synthetic".to_owned(),
                family: Some(family.name().to_owned()),
                ..Question::default()
            };
            jsonl.write(&row)?;
            parquet.write(&row)?;
            bar.inc(1);
        }
    }
    let rows = jsonl.finish().context("finishing the JSONL file")?;
    parquet.finish().context("finishing the Parquet file")?;
    bar.finish_and_clear();
    output::line(&format!("{rows} questions in {}", out.display()))?;
    Ok(())
}

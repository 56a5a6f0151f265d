//! What images cost: `cargo run -p visionthink-image --example tokens -- CHECKPOINT_FOLDER IMAGE...`
#![expect(clippy::print_stdout, reason = "printing is what the example does")]

use std::error::Error;
use std::path::Path;

use visionthink_image::{DecodeOptions, Processor, low_view, open};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: tokens CHECKPOINT_FOLDER IMAGE...")?;
    let processor = Processor::from_dir(Path::new(&folder))?;
    for path in arguments {
        let image = open(Path::new(&path), &DecodeOptions::default())?;
        let costs = processor.view_costs(image.width, image.height)?;
        let low = processor.process(&low_view(&image)?)?;
        println!(
            "{path}: {}x{}, {} tokens at half size ({} patches), {} in full",
            image.width,
            image.height,
            costs.low.tokens,
            low.grid.patches(),
            costs.full.tokens
        );
    }
    Ok(())
}

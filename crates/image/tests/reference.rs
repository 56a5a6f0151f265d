//! Recorded results of transformers, Pillow and the reference's loader.
//!
//! The vectors are those of the project, or those of the folder in `VISIONTHINK_REFERENCE`. For each file a line on stdout says how many
//! cases were compared and how many hold.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test reports its counts on stdout and fails by panicking"
)]

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;
use visionthink_image::reference_sizes::{Rules, SizeError, Target, prepare};
use visionthink_image::{
    Alpha, Arithmetic, DecodeOptions, Filter, ImageError, Processor, RgbImage, decode, lanczos_double, lanczos_half,
    resize, upright_size,
};

/// How far the decoder of this project may be from the recorded one (libjpeg-turbo): the inverse DCT, chroma upsampling and the colour
/// conversion round differently, and beside a picture's right and bottom edge chroma is interpolated from other samples. The project's own
/// fixtures: mean difference 0.37 levels, largest 4 inside, 10 in the last column, 0.04 % of the bytes beyond 4.
const JPEG_LEVELS: u8 = 4;
const JPEG_BEYOND: f64 = 0.02;
const JPEG_MEAN: f64 = 0.75;

/// Tolerance of normalised pixels: they are computed as recorded, so this only allows for a decimal in between.
const PIXEL_TOLERANCE: f32 = 1e-6;

fn root() -> PathBuf {
    std::env::var_os("VISIONTHINK_REFERENCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), PathBuf::from)
}

/// The project's own vectors must be there; another folder may hold a part of them.
fn assert_read(cases: usize, what: &str) {
    let own = std::env::var_os("VISIONTHINK_REFERENCE").is_none();
    assert!(cases > 0 || !own, "no case of {what} was read");
}

/// Compares cases of one file and prints its line.
struct Report {
    file: String,
    cases: usize,
    failures: Vec<String>,
}

impl Report {
    fn new(path: &Path) -> Self {
        let file = path.strip_prefix(root()).unwrap_or(path);
        Self { file: file.display().to_string(), cases: 0, failures: Vec::new() }
    }

    fn case(&mut self, name: &str, outcome: Result<(), String>) {
        self.cases += 1;
        if let Err(why) = outcome {
            self.failures.push(format!("{} {name}: {why}", self.file));
        }
    }

    fn finish(self, failures: &mut Vec<String>) -> usize {
        let passed = self.cases - self.failures.len();
        println!("reference {}: {} cases, {passed} passed", self.file, self.cases);
        failures.extend(self.failures);
        self.cases
    }
}

fn json(path: &Path) -> Option<Value> {
    let text = fs_err::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn same(found: &RgbImage, expected: &RgbImage) -> Result<(), String> {
    if (found.width, found.height) != (expected.width, expected.height) {
        return Err(format!("{found:?} instead of {expected:?}"));
    }
    let differences = found.pixels.iter().zip(&expected.pixels);
    let (index, largest) = differences
        .map(|(a, b)| a.abs_diff(*b))
        .enumerate()
        .max_by_key(|&(_, difference)| difference)
        .unwrap_or_default();
    if largest > 0 {
        return Err(format!("differs by {largest} levels at byte {index}"));
    }
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
}

/// Tensors of one recorded image.
struct Recorded<'a>(SafeTensors<'a>);

impl Recorded<'_> {
    fn image(&self, name: &str) -> Option<RgbImage> {
        let tensor = self.0.tensor(name).ok()?;
        let [height, width, 3] = *tensor.shape() else { panic!("{name} is {:?}", tensor.shape()) };
        Some(RgbImage::new(width as u32, height as u32, tensor.data().to_vec()).unwrap())
    }

    fn words<T>(&self, name: &str, from: impl Fn([u8; 4]) -> T) -> Vec<T> {
        let tensor = self.0.tensor(name).unwrap();
        let (words, rest) = tensor.data().as_chunks::<4>();
        assert!(rest.is_empty());
        words.iter().map(|&word| from(word)).collect()
    }

    fn integers(&self, name: &str) -> Vec<i32> {
        self.words(name, i32::from_le_bytes)
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name, f32::from_le_bytes)
    }
}

/// The released processors; limits are set by each recorded case.
fn processor(family: &str) -> Option<Processor> {
    let text = match family {
        "qwen2_5_vl" => r#"{"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}"#,
        "qwen3_vl" => {
            r#"{"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2,
                "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#
        }
        _ => return None,
    };
    Some(Processor::from_json(text).unwrap())
}

fn families() -> Vec<(PathBuf, Processor)> {
    let folders = files(&root().join("models/image_processing"));
    let known = folders.into_iter().filter_map(|folder| {
        let processor = processor(folder.file_name()?.to_str()?)?;
        Some((folder, processor))
    });
    known.collect()
}

#[test]
fn processed_images_equal_the_recorded_ones() {
    let (mut cases, mut failures) = (0, Vec::new());
    for (folder, processor) in families() {
        let Some(Value::Object(images)) = json(&folder.join("images.json")) else {
            continue;
        };
        for (name, facts) in &images {
            let path = folder.join(format!("{name}.safetensors"));
            let Ok(bytes) = fs_err::read(&path) else {
                continue;
            };
            let recorded = Recorded(SafeTensors::deserialize(&bytes).unwrap());
            let mut report = Report::new(&path);
            let source = decoded(&mut report, name, &recorded);
            lanczos(&mut report, &source, &recorded);
            for (set, facts) in facts.as_object().unwrap() {
                if facts.get("resized_hw").is_some() {
                    processed(&mut report, &processor, &source, &recorded, (set, facts));
                }
            }
            cases += report.finish(&mut failures);
        }
    }
    assert_read(cases, "image_processing");
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Compares the decoded file and gives the bytes that the following steps start from.
fn decoded(report: &mut Report, name: &str, recorded: &Recorded) -> RgbImage {
    let file = fs_err::read(root().join("models/images").join(name)).unwrap();
    let is_jpeg = image::guess_format(&file).unwrap() == image::ImageFormat::Jpeg;
    let ours = decode(&file, &DecodeOptions::default()).unwrap();
    if let Some(dropped) = recorded.image("rgb_alpha_dropped") {
        let options = DecodeOptions { alpha: Alpha::Drop, ..DecodeOptions::default() };
        let ours = decode(&file, &options).unwrap();
        report.case("rgb_alpha_dropped", same(&ours, &dropped));
    }
    match recorded.image("rgb") {
        Some(rgb) => {
            let outcome = if is_jpeg { same_jpeg(name, &ours, &rgb) } else { same(&ours, &rgb) };
            report.case("rgb", outcome);
            rgb
        }
        None => ours,
    }
}

fn same_jpeg(name: &str, ours: &RgbImage, rgb: &RgbImage) -> Result<(), String> {
    equal((ours.width, ours.height), (rgb.width, rgb.height))?;
    let pairs = ours.pixels.iter().zip(&rgb.pixels);
    let differences: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).collect();
    let count = differences.len() as f64;
    let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / count;
    let beyond = differences.iter().filter(|&&d| d > JPEG_LEVELS).count() as f64 / count;
    let largest = differences.iter().max().unwrap();
    let facts =
        format!("mean difference {mean:.3} levels, largest {largest}, {:.3} % beyond {JPEG_LEVELS}", 100.0 * beyond);
    println!("jpeg {name}: {facts}");
    if mean <= JPEG_MEAN && beyond <= JPEG_BEYOND { Ok(()) } else { Err(facts) }
}

fn lanczos(report: &mut Report, source: &RgbImage, recorded: &Recorded) {
    let half = recorded.image("lanczos_half");
    if let Some(half) = &half {
        report.case("lanczos_half", same(&lanczos_half(source).unwrap(), half));
    }
    // Recorded only where the newer order of passes gives something else.
    if let Some(newer) = recorded.image("lanczos_half.pillow13").or(half) {
        let (width, height) = (source.width / 2, source.height / 2);
        let ours = resize(source, width, height, Filter::Lanczos3, Arithmetic::Pillow13);
        report.case("lanczos_half.pillow13", same(&ours.unwrap(), &newer));
    }
    if let Some(double) = recorded.image("lanczos_double") {
        report.case("lanczos_double", same(&lanczos_double(source).unwrap(), &double));
    }
}

fn processed(
    report: &mut Report,
    released: &Processor,
    source: &RgbImage,
    recorded: &Recorded,
    (set, facts): (&str, &Value),
) {
    let number = |key: &str| facts[key].as_u64().unwrap();
    let processor =
        Processor { min_pixels: number("min_pixels"), max_pixels: number("max_pixels"), ..released.clone() };
    let tensors = facts.get("same_as").and_then(Value::as_str).unwrap_or(set);
    let tokens = processor.tokens(source.width, source.height).unwrap();
    report.case(&format!("{set} tokens"), equal(tokens as u64, number("llm_tokens")));

    let resized = processor.resized(source, Arithmetic::Torchvision).unwrap();
    let expected = recorded.image(&format!("{tensors}.resized_u8")).unwrap();
    report.case(&format!("{set}.resized_u8"), same(&resized, &expected));

    let patches = processor.process(source).unwrap();
    let grid = [patches.grid.t, patches.grid.h, patches.grid.w].map(|side| side as i32);
    let expected = recorded.integers(&format!("{tensors}.grid_thw"));
    report.case(&format!("{set}.grid_thw"), equal(&grid[..], &expected[..]));
    let announced = processor.grid(source.width, source.height).unwrap();
    report.case(&format!("{set} grid announced"), equal(announced, patches.grid));

    let rows = recorded.integers(&format!("{tensors}.pixel_rows"));
    let values = recorded.floats(&format!("{tensors}.pixel_values"));
    let width = processor.patch_values();
    let found: Vec<f32> =
        rows.iter().flat_map(|&row| patches.values[row as usize * width..][..width].to_vec()).collect();
    report.case(&format!("{set}.pixel_values"), close(&found, &values));
    report.case(&format!("{set} patches"), equal(patches.values.len(), patches.grid.patches() * width));
}

fn close(found: &[f32], expected: &[f32]) -> Result<(), String> {
    equal(found.len(), expected.len())?;
    let pairs = found.iter().zip(expected);
    let (index, largest) =
        pairs.map(|(a, b)| (a - b).abs()).enumerate().fold((0, 0.0), |worst, (index, difference)| {
            // Written so that a NaN is the worst and stays it.
            if difference <= worst.1 { worst } else { (index, difference) }
        });
    if largest <= PIXEL_TOLERANCE { Ok(()) } else { Err(format!("differs by {largest} at {index}")) }
}

#[test]
fn sizes_of_the_image_files_are_as_listed() {
    let folder = root().join("models/images");
    let path = folder.join("images.json");
    let (mut cases, mut failures) = (0, Vec::new());
    for listed in json(&path).iter().flat_map(|list| list.as_array().unwrap()) {
        let image = folder.join(listed["file"].as_str().unwrap());
        let mut report = Report::new(&image);
        let bytes = fs_err::read(&image).unwrap();
        let stored = ["w", "h"].map(|side| listed[side].as_u64().unwrap() as u32);
        let turned = listed["orientation"].as_u64().is_some_and(|code| code >= 5);
        let upright = if turned { (stored[1], stored[0]) } else { stored.into() };
        let options = DecodeOptions::default();
        report.case("size", equal(upright_size(&bytes, &options).unwrap(), upright));
        let decoded = decode(&bytes, &options).unwrap();
        report.case("decoded", equal((decoded.width, decoded.height), upright));
        cases += report.finish(&mut failures);
    }
    assert_read(cases, "images");
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn smart_resize_gives_the_recorded_sizes() {
    let (mut cases, mut failures) = (0, Vec::new());
    for (folder, released) in families() {
        let path = folder.join("smart_resize.json");
        let Some(table) = json(&path) else { continue };
        let mut report = Report::new(&path);
        for row in table["rows"].as_array().unwrap() {
            let numbers: Vec<i64> = row.as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
            let [height, width, factor, min_pixels, max_pixels, out_height, out_width] = numbers[..] else {
                panic!("{row}")
            };
            let processor = Processor {
                patch_size: factor as u32 / released.merge_size,
                min_pixels: min_pixels as u64,
                max_pixels: max_pixels as u64,
                ..released.clone()
            };
            let found = match processor.smart_resize(width as u32, height as u32) {
                Ok((width, height)) => (i64::from(height), i64::from(width)),
                Err(ImageError::TooNarrow { .. }) => (-1, -1),
                Err(error) => panic!("{row}: {error}"),
            };
            report.case(&row.to_string(), equal(found, (out_height, out_width)));
        }
        cases += report.finish(&mut failures);
    }
    assert_read(cases, "smart_resize.json");
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn training_images_get_the_sizes_of_the_reference_loader() {
    let path = root().join("rl/image_sizes.jsonl");
    let (mut failures, mut report) = (Vec::new(), Report::new(&path));
    for line in fs_err::read_to_string(&path).unwrap_or_default().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let number = |key: &str| row[key].as_u64().unwrap();
        let flag = |key: &str| row[key].as_bool().unwrap();
        let rules = Rules {
            tool_call: flag("tool_call"),
            use_tgt_size: flag("use_tgt_size"),
            use_raw_image: flag("use_raw_image"),
            max_pixels: number("max_pixels"),
            min_pixels: number("min_pixels"),
        };
        let (width, height) = (number("width") as u32, number("height") as u32);
        let found = match prepare(width, height, target(&row["info"]), &rules) {
            Ok(images) => {
                let plan = images.into_iter();
                Outcome::Images(plan.map(|one| ((one.width, one.height), one.steps)).collect())
            }
            Err(SizeError::BelowMinimum { .. }) => Outcome::Error("AssertionError".to_owned()),
            Err(SizeError::NoPixels { .. }) => Outcome::Error("ValueError".to_owned()),
            Err(SizeError::HalfTarget) => Outcome::Error("TypeError".to_owned()),
        };
        let name = format!("{} {}", row["id"], row["case"]);
        report.case(&name, equal(found, Outcome::recorded(&row["result"])));
    }
    if report.cases > 0 || std::env::var_os("VISIONTHINK_REFERENCE").is_none() {
        let cases = report.finish(&mut failures);
        assert_read(cases, "image_sizes.jsonl");
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

type Planned = ((u32, u32), Vec<(u32, u32)>);

#[derive(Debug, PartialEq)]
enum Outcome {
    Error(String),
    /// Size and resizes of each image.
    Images(Vec<Planned>),
}

impl Outcome {
    fn recorded(result: &Value) -> Self {
        if let Some(class) = result["error"].as_str() {
            return Self::Error(class.to_owned());
        }
        let pair = |value: &Value| {
            let side = |i: usize| value[i].as_u64().unwrap() as u32;
            (side(0), side(1))
        };
        let sizes = result["sizes"].as_array().unwrap().iter().map(pair);
        let steps = result["steps"].as_array().unwrap().iter().map(|steps| {
            // `["convert", "RGB"]` stands behind the resizes; here the picture is RGB from the start.
            let resizes = steps.as_array().unwrap().iter().filter(|step| step[0].is_u64());
            resizes.map(pair).collect()
        });
        Self::Images(sizes.zip(steps).collect())
    }
}

fn target(info: &Value) -> Option<Target> {
    let info = info.as_object()?;
    let side = |value: &Value| value.as_u64().map(|side| side as u32);
    Some(Target {
        width: side(info.get("tgt_width")?),
        height: side(info.get("tgt_height")?),
        use_tool: info.get("use_tool")?.as_bool().unwrap_or(false),
    })
}

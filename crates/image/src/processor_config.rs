//! `preprocessor_config.json`, in and out.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ImageError, Processor};

/// Limits of the processor class, which hold where a file has none. Released checkpoints state theirs (3136 and 12845056).
const CLASS_MIN_PIXELS: u64 = 56 * 56;
const CLASS_MAX_PIXELS: u64 = 28 * 28 * 1280;

/// Normalisation of the processor class (that of CLIP), which holds where a file has none.
const CLASS_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLASS_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Code of bicubic resampling in these files (Pillow's numbering).
const BICUBIC: u32 = 3;

/// The keys that matter here; files carry others. Sizes that decide a shape have no default.
#[derive(Deserialize)]
struct File {
    patch_size: u32,
    temporal_patch_size: u32,
    merge_size: u32,
    /// Spelling up to transformers 4. Where both spellings are given, this one counts, as there.
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    /// Spelling of transformers 5.
    size: Option<Size>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    resample: Option<u32>,
    rescale_factor: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Size {
    #[serde(alias = "min_pixels")]
    shortest_edge: Option<u64>,
    #[serde(alias = "max_pixels")]
    longest_edge: Option<u64>,
}

impl Processor {
    /// Reads the text of a `preprocessor_config.json`.
    ///
    /// Limits are read as `min_pixels` / `max_pixels` or as `size.shortest_edge` / `size.longest_edge`; without either, and for mean and
    /// std, the defaults of the processor class hold (3136, 1003520, CLIP's normalisation). Patch sizes are required.
    ///
    /// # Errors
    /// [`ImageError::Settings`] when it is not JSON or a key is missing or of another type, [`ImageError::Setting`] when a value asks for
    /// something that is not done here (another filter, no resize, no normalisation) or cannot be.
    pub fn from_json(text: &str) -> Result<Self, ImageError> {
        let file: File = serde_json::from_str(text).map_err(ImageError::Settings)?;
        file.check_steps()?;
        let size = file.size.unwrap_or_default();
        let processor = Self {
            patch_size: file.patch_size,
            temporal_patch_size: file.temporal_patch_size,
            merge_size: file.merge_size,
            min_pixels: file.min_pixels.or(size.shortest_edge).unwrap_or(CLASS_MIN_PIXELS),
            max_pixels: file.max_pixels.or(size.longest_edge).unwrap_or(CLASS_MAX_PIXELS),
            mean: file.image_mean.unwrap_or(CLASS_MEAN),
            std: file.image_std.unwrap_or(CLASS_STD),
        };
        processor.check_values()?;
        Ok(processor)
    }

    /// Reads the settings of a checkpoint folder: `image_processor` inside `processor_config.json` where it is there (transformers 5 prefers
    /// it), else `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`ImageError::NoSettings`] when there is neither, [`ImageError::Read`] when a file cannot be read, [`ImageError::InFile`] around what
    /// [`Processor::from_json`] reports.
    pub fn from_dir(folder: &Path) -> Result<Self, ImageError> {
        let path = folder.join("processor_config.json");
        if path.exists() {
            let text = fs_err::read_to_string(&path).map_err(ImageError::Read)?;
            let value: Value =
                serde_json::from_str(&text).map_err(|error| ImageError::Settings(error).in_file(&path))?;
            if let Some(nested) = value.get("image_processor") {
                return Self::from_json(&nested.to_string()).map_err(|error| error.in_file(&path));
            }
        }
        let path = folder.join("preprocessor_config.json");
        if !path.exists() {
            return Err(ImageError::NoSettings { folder: folder.to_owned() });
        }
        let text = fs_err::read_to_string(&path).map_err(ImageError::Read)?;
        Self::from_json(&text).map_err(|error| error.in_file(&path))
    }

    /// The text of a `preprocessor_config.json` that both transformers 4 and 5 read: the limits stand in both spellings.
    pub fn to_json(&self) -> String {
        let value = json!({
            "min_pixels": self.min_pixels,
            "max_pixels": self.max_pixels,
            "size": {"shortest_edge": self.min_pixels, "longest_edge": self.max_pixels},
            "patch_size": self.patch_size,
            "temporal_patch_size": self.temporal_patch_size,
            "merge_size": self.merge_size,
            "do_convert_rgb": true,
            "do_resize": true,
            "resample": BICUBIC,
            "do_rescale": true,
            "rescale_factor": 1.0 / 255.0,
            "do_normalize": true,
            "image_mean": self.mean.map(shortest),
            "image_std": self.std.map(shortest),
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2_5_VLProcessor",
        });
        format!("{value:#}\n")
    }

    fn check_values(&self) -> Result<(), ImageError> {
        let positive = [
            ("patch_size", u64::from(self.patch_size)),
            ("temporal_patch_size", u64::from(self.temporal_patch_size)),
            ("merge_size", u64::from(self.merge_size)),
            ("min_pixels", self.min_pixels),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(unsupported(field, value, "at least 1"));
            }
        }
        for (field, value) in [
            ("patch_size", self.patch_size),
            ("temporal_patch_size", self.temporal_patch_size),
            ("merge_size", self.merge_size),
        ] {
            // Far above any model; a typo here would otherwise ask for gigabytes.
            if value > 1024 {
                return Err(unsupported(field, value, "at most 1024"));
            }
        }
        if self.max_pixels < self.min_pixels {
            return Err(unsupported("max_pixels", self.max_pixels, "at least `min_pixels`"));
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(unsupported("image_mean", format!("{:?}", self.mean), "finite numbers"));
        }
        if !self.std.iter().all(|&std| std.is_finite() && std > 0.0) {
            return Err(unsupported("image_std", format!("{:?}", self.std), "numbers above 0"));
        }
        Ok(())
    }
}

impl File {
    /// A file may switch steps off. None of the supported checkpoints does; doing the step anyway would give wrong pixels silently.
    fn check_steps(&self) -> Result<(), ImageError> {
        let steps =
            [("do_resize", self.do_resize), ("do_rescale", self.do_rescale), ("do_normalize", self.do_normalize)];
        for (field, value) in steps {
            if value == Some(false) {
                return Err(unsupported(field, false, "true"));
            }
        }
        if let Some(code) = self.resample.filter(|&code| code != BICUBIC) {
            return Err(unsupported("resample", code, "3 (bicubic)"));
        }
        if let Some(factor) = self.rescale_factor.filter(|f| (f * 255.0 - 1.0).abs() > 1e-6) {
            return Err(unsupported("rescale_factor", factor, "1/255"));
        }
        Ok(())
    }
}

fn unsupported(field: &'static str, found: impl ToString, expected: &'static str) -> ImageError {
    ImageError::Setting { field, found: found.to_string(), expected }
}

/// The shortest decimal that reads back as this f32, so that the file says 0.4578275 and not 0.45782750844955444.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: &str = r#""patch_size": 14, "temporal_patch_size": 2, "merge_size": 2"#;

    fn read(rest: &str) -> Result<Processor, ImageError> {
        Processor::from_json(&format!("{{{SIZES}{rest}}}"))
    }

    #[test]
    fn both_spellings_of_the_limits_are_read() {
        let limits = |rest| read(rest).map(|p| (p.min_pixels, p.max_pixels)).unwrap();
        assert_eq!(limits(r#", "min_pixels": 10, "max_pixels": 20"#), (10, 20));
        let five = r#", "size": {"shortest_edge": 10, "longest_edge": 20}"#;
        assert_eq!(limits(five), (10, 20));
        let both = r#", "max_pixels": 30, "size": {"shortest_edge": 10, "longest_edge": 20}"#;
        assert_eq!(limits(both), (10, 30));
        assert_eq!(limits(""), (3136, 1_003_520));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let processor = read(r#", "min_pixels": 1, "max_pixels": 99999, "image_std": [0.1, 0.7, 3]"#);
        let processor = processor.unwrap();
        let text = processor.to_json();
        assert_eq!(Processor::from_json(&text).unwrap(), processor);
        assert!(text.contains("0.4578275,"), "{text}");
    }

    #[test]
    fn a_missing_patch_size_is_named() {
        let error = Processor::from_json(r#"{"merge_size": 2}"#).unwrap_err();
        let ImageError::Settings(source) = error else { panic!("{error:?}") };
        assert!(source.to_string().contains("patch_size"));
    }

    #[test]
    fn settings_that_would_give_other_pixels_are_refused() {
        for (rest, wrong) in [
            (r#", "resample": 1"#, "resample"),
            (r#", "do_resize": false"#, "do_resize"),
            (r#", "do_normalize": false"#, "do_normalize"),
            (r#", "rescale_factor": 1.0"#, "rescale_factor"),
            (r#", "image_std": [0.5, 0, 0.5]"#, "image_std"),
            (r#", "min_pixels": 0"#, "min_pixels"),
            (r#", "max_pixels": 5"#, "max_pixels"),
        ] {
            match read(rest) {
                Err(ImageError::Setting { field, .. }) => assert_eq!(field, wrong),
                other => panic!("{rest}: {other:?}"),
            }
        }
    }
}

//! The command line.

mod evaluation;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use visionthink_data::world::{Family, Split};
use visionthink_engine::Sampling;
use visionthink_image::{DecodeOptions, Limits};
use visionthink_model::Dtype;
use visionthink_protocol::{Mode, ProfileName};
use visionthink_prune::Choice;
use visionthink_reward::judge::VerifierFamily;

pub(crate) use evaluation::{EvalArguments, EvalCommand, EvalRunArguments, EvalScoreArguments, ReportArguments};

use crate::commands::bench::TokenPrices;
use crate::device::DeviceChoice;
use crate::failure::Failure;
use crate::model::ModelSource;

/// More than anybody waits for; sums over families and modes stay far from overflowing.
const MOST_QUESTIONS: u64 = 1_000_000_000;

/// Vision-language models that look at a quarter of the pixels first.
#[derive(Debug, Parser)]
#[command(name = "visionthink", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// Log more to stderr: -v for phases, -vv for everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask a question about images.
    Ask(AskArguments),
    /// Latency, throughput and cost of a model on this machine, by size of the picture and mode.
    Bench(BenchArguments),
    /// Validate a run file and print it resolved.
    Check(CheckArguments),
    /// Choose training data: which questions a model solves from the small image, and which only from the full one.
    Curate(CurateArguments),
    /// See it work: accuracy, visual tokens and wall-clock in three modes on held-out questions.
    Demo(DemoArguments),
    /// Benchmarks: models by methods, scored and counted.
    Eval(EvalArguments),
    /// Train variants of a run, each with several seeds, and write up what came of them.
    Experiment(ExperimentArguments),
    /// Write a checkpoint of a run as a Hugging Face folder.
    Export(ExportArguments),
    /// Complete prompts from a JSONL file.
    Generate(GenerateArguments),
    /// Train by reinforcement: answers are sampled, judged, and compared within their group.
    Grpo(GrpoArguments),
    /// Sizes and token costs of images, low and full.
    Inspect(InspectArguments),
    /// Ask a language model whether predicted answers are right.
    Judge(JudgeArguments),
    /// Report a run of `eval` again, or say what changed between two.
    Report(ReportArguments),
    /// Rewards and advantages of given rollouts, without a model.
    Reward(RewardArguments),
    /// Log-probabilities of given completions.
    Score(ScoreArguments),
    /// Serve OpenAI's API and show the model the small image first: a model here, or in front of other servers.
    Serve(ServeArguments),
    /// Train by imitation.
    Sft(SftArguments),
    /// Write pictures and questions of the synthetic world.
    Synth(SynthArguments),
}

/// The model and where it runs.
#[derive(Debug, Args)]
pub(crate) struct ModelArguments {
    /// `micro` (embedded), a checkpoint folder, or `hf:ORG/NAME`.
    #[arg(long, default_value = "micro")]
    pub(crate) model: ModelSource,
    /// A LoRA adapter of this model in the layout of PEFT, or the checkpoint of a run that learns one.
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
    /// auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

/// Another server in place of the engine of this process.
#[derive(Debug, Args)]
pub(crate) struct EngineArguments {
    /// An OpenAI-compatible server that answers in place of this process: `http://127.0.0.1:8000/v1`.
    #[arg(long = "engine", value_name = "URL", conflicts_with_all = ["model", "adapter", "device", "pruning"])]
    pub(crate) url: Option<String>,
    /// What that server calls the model; by default the only one it has.
    #[arg(long = "engine-model", value_name = "NAME", requires = "url")]
    pub(crate) served_model: Option<String>,
    /// The environment variable that holds the key of that server.
    #[arg(long = "engine-key-env", value_name = "VARIABLE", requires = "url")]
    pub(crate) key_env: Option<String>,
}

/// How large an image may be: what is larger is refused before it is decoded.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ImageLimitArguments {
    /// Most bytes of an image file.
    #[arg(long = "image-max-bytes", value_name = "BYTES", default_value_t = Limits::default().max_bytes)]
    pub(crate) file_bytes: u64,
    /// Most pixels of an image, width times height.
    #[arg(long = "image-max-pixels", value_name = "PIXELS", default_value_t = Limits::default().max_pixels)]
    pub(crate) pixels: u64,
    /// Most bytes of an image as its decoder writes it, up to 8 a pixel.
    #[arg(long = "image-max-decoded-bytes", value_name = "BYTES", default_value_t = Limits::default().max_decoded_bytes)]
    pub(crate) decoded_bytes: u64,
}

impl ImageLimitArguments {
    /// As the decoder takes them.
    pub(crate) fn decoding(&self) -> DecodeOptions {
        let limits =
            Limits { max_bytes: self.file_bytes, max_pixels: self.pixels, max_decoded_bytes: self.decoded_bytes };
        DecodeOptions { limits, ..DecodeOptions::default() }
    }
}

/// How tokens are chosen.
#[derive(Debug, Args)]
pub(crate) struct SamplingArguments {
    /// 0 takes the most likely token.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) temperature: f64,
    /// Keep the most likely tokens up to this cumulative probability.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) top_p: f64,
    /// Keep this many most likely tokens; 0 keeps all.
    #[arg(long, default_value_t = 0)]
    pub(crate) top_k: usize,
    /// Drop tokens less likely than this share of the most likely one.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) min_p: f64,
    /// Divide (or multiply, below zero) the scores of tokens already present.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) repetition_penalty: f64,
    /// Seed of the sampler.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct AskArguments {
    /// A path, an http(s) URL, or `-` for stdin; may be given several times.
    #[arg(long = "image", value_name = "PATH|URL|-")]
    pub(crate) images: Vec<String>,
    /// adaptive: a quarter of the pixels first; full; low. By default adaptive, and full where the profile has no tool.
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
    /// Prompts and tool format; by default what the model was trained with.
    #[arg(long)]
    pub(crate) profile: Option<ProfileName>,
    /// Most tokens a turn.
    #[arg(long, default_value_t = 512)]
    pub(crate) max_tokens: usize,
    /// Drop visual tokens: fastv, sparsevlm, visionzip, pyramiddrop, random or uniform, with its paper's settings, or with a share
    /// of the tokens as a mean over layers, as in fastv:0.5.
    #[arg(long, value_name = "METHOD[:SHARE]")]
    pub(crate) pruning: Option<Choice>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) sampling: SamplingArguments,
    #[command(flatten)]
    pub(crate) image_limits: ImageLimitArguments,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    /// The question.
    pub(crate) question: String,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// Sides of the square pictures, in pixels.
    #[arg(long, value_delimiter = ',', default_value = "112,224", value_parser = clap::value_parser!(u32).range(28..=8192))]
    pub(crate) sizes: Vec<u32>,
    /// Which modes to measure.
    #[arg(long, value_delimiter = ',', default_value = "full,low,adaptive")]
    pub(crate) modes: Vec<Mode>,
    /// Questions a size and mode, asked once one by one and once together.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=MOST_QUESTIONS))]
    pub(crate) questions: u64,
    /// Most questions in one batch.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,
    /// Most tokens a turn.
    #[arg(long, default_value_t = 64)]
    pub(crate) max_tokens: usize,
    /// Seed of the pictures and questions.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// What a million tokens cost: of prompts, of prompts whose keys and values are there already, and sampled.
    #[arg(long, value_name = "PROMPT,REUSED,SAMPLED", value_parser = prices)]
    pub(crate) prices: Option<TokenPrices>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

fn prices(text: &str) -> Result<TokenPrices, String> {
    let wrong = || format!("`{text}` are no prices; expected three numbers from 0 upwards, as `0.5,0.05,1.5`");
    let numbers: Vec<f64> = text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let [prompt, reused, completion] = <[f64; 3]>::try_from(numbers).map_err(|_| wrong())?;
    let is_price = |price: f64| price.is_finite() && price >= 0.0;
    if [prompt, reused, completion].into_iter().all(is_price) {
        Ok(TokenPrices { prompt, reused, completion })
    } else {
        Err(wrong())
    }
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The run file.
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CurateArguments {
    /// The run file.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Go on from what was asked already.
    #[arg(long)]
    pub(crate) resume: bool,
    /// auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Held-out questions a family.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=MOST_QUESTIONS))]
    pub(crate) questions: u64,
    /// Seed of the pictures and questions.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Which modes to compare.
    #[arg(long, value_delimiter = ',', default_value = "low,full,adaptive")]
    pub(crate) modes: Vec<Mode>,
    /// Where the HTML report goes.
    #[arg(long, default_value = "demo.html")]
    pub(crate) report: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExperimentArguments {
    /// The experiment: a base, its variants, and the seeds.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the page and its plots go.
    #[arg(long, default_value = "docs/experiments")]
    pub(crate) out: PathBuf,
    /// auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

fn verifier_family(name: &str) -> Result<VerifierFamily, String> {
    match name {
        "qwen3" => Ok(VerifierFamily::Qwen3),
        "qwen2.5" => Ok(VerifierFamily::Qwen2_5),
        _ => Err("expected qwen3 or qwen2.5".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct JudgeArguments {
    /// Predictions, one JSON object a line: `id`, `question`, `answer`, `prediction`, optional `answers`.
    #[arg(long)]
    pub(crate) input: PathBuf,
    /// Where judged rows go; rows that are judged there are not asked again.
    #[arg(long)]
    pub(crate) output: PathBuf,
    /// A TOML file with the endpoint: `kind`, `url`, `model`, and how patiently to ask.
    #[arg(long, required_unless_present = "model")]
    pub(crate) endpoint: Option<PathBuf>,
    /// Instead of an endpoint a checkpoint that judges in this process, greedily: a folder or `hf:ORG/NAME` (Qwen2, Qwen3).
    #[arg(long, value_name = "DIR", conflicts_with = "endpoint")]
    pub(crate) model: Option<String>,
    /// Most tokens of a reply of `--model`, thinking included; an endpoint's file has `max_tokens`.
    #[arg(long, default_value_t = 1024, conflicts_with = "endpoint")]
    pub(crate) max_new_tokens: usize,
    /// Where `--model` runs: auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N.
    #[arg(long, default_value = "auto", conflicts_with = "endpoint")]
    pub(crate) device: DeviceChoice,
    /// Ask as the paper's verifier, for `[[YES]]` or `[[NO]]`, with the prompt of this family: qwen3 or qwen2.5. Goes before
    /// the endpoint's `variant`; without both it is the judge with its score.
    #[arg(long, value_name = "FAMILY", value_parser = verifier_family)]
    pub(crate) verifier: Option<VerifierFamily>,
    /// A folder that keeps verdicts for further runs.
    #[arg(long)]
    pub(crate) cache: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The checkpoint: a folder of `runs/NAME/checkpoints`, or any other checkpoint folder.
    #[arg(long)]
    pub(crate) checkpoint: PathBuf,
    /// The folder to write; must not exist, or be empty.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Element type of the weights: bf16, f16 or f32; by default bf16, and f32 for an adapter alone.
    #[arg(long, value_parser = dtype)]
    pub(crate) dtype: Option<Dtype>,
    /// Of a checkpoint that holds an adapter, write the adapter alone: peft.
    #[arg(long, value_name = "LAYOUT", conflicts_with = "merge")]
    pub(crate) lora: Option<AdapterLayout>,
    /// Of a checkpoint that holds an adapter, write its base with the adapter merged in.
    #[arg(long)]
    pub(crate) merge: bool,
    /// The checkpoint that the adapter was trained on; by default the one that it names.
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
}

/// How an adapter is laid out in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AdapterLayout {
    /// `adapter_config.json` and `adapter_model.safetensors`.
    Peft,
}

fn dtype(name: &str) -> Result<Dtype, String> {
    match name {
        "bf16" => Ok(Dtype::Bf16),
        "f16" => Ok(Dtype::F16),
        "f32" => Ok(Dtype::F32),
        _ => Err("expected bf16, f16 or f32".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct GrpoArguments {
    /// The run file.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Go on from the last checkpoint of the run.
    #[arg(long)]
    pub(crate) resume: bool,
    /// auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// Requests, one JSON object a line: `messages`, or `prompt` and `images`; optional `id`.
    #[arg(long)]
    pub(crate) input: PathBuf,
    /// Where results go; stdout without it. Ids that are already there are skipped.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Most tokens a completion.
    #[arg(long, default_value_t = 512)]
    pub(crate) max_tokens: usize,
    /// Do not stop at the model's end tokens.
    #[arg(long)]
    pub(crate) ignore_eos: bool,
    /// Most requests in one batch.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) batch: u64,
    /// Drop visual tokens, as in `ask`.
    #[arg(long, value_name = "METHOD[:SHARE]")]
    pub(crate) pruning: Option<Choice>,
    #[command(flatten)]
    pub(crate) sampling: SamplingArguments,
    #[command(flatten)]
    pub(crate) image_limits: ImageLimitArguments,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// Image files.
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// Whose size limits apply: `micro`, a checkpoint folder, or `hf:ORG/NAME`.
    #[arg(long, default_value = "micro")]
    pub(crate) model: ModelSource,
    /// Print one JSON object an image.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write `pixel_values` and `image_grid_thw` of both views.
    #[arg(long, value_name = "OUT.safetensors")]
    pub(crate) dump: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) image_limits: ImageLimitArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RewardArguments {
    /// One rollout a line: `question`, `expected`, `turns` (the model's texts), and optionally `group`, `decision`
    /// (direct, resize, malformed), `accuracy` (correct, wrong, unjudged; without it the run file's judge is asked) and
    /// `completion_tokens`. Rollouts of a group stand behind one another. A run's `rollouts/step-N.jsonl` is such a file.
    #[arg(long)]
    pub(crate) input: PathBuf,
    /// The run file whose `[reward]` and `[advantage]` apply.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Where a judge of `[reward.judge.checkpoint]` runs: auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArguments {
    /// Requests as for `generate`, each with `completion` or `completion_ids`.
    #[arg(long)]
    pub(crate) input: PathBuf,
    /// Where results go; stdout without it. Ids that are already there are skipped.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) image_limits: ImageLimitArguments,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The run file of the server: `configs/serve.toml` stands in front of other servers, `configs/serve-embedded.toml`
    /// runs a model. Without one the embedded model is served on 127.0.0.1:8080.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen, instead of the run file's address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Read everything that it names, load the model or ask every upstream server once, and end.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SftArguments {
    /// The run file.
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// Go on from the last checkpoint of the run.
    #[arg(long)]
    pub(crate) resume: bool,
    /// auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: DeviceChoice,
}

#[derive(Debug, Args)]
pub(crate) struct SynthArguments {
    /// The folder to write; files of the same split must not be there.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// train or test; the two share no picture.
    #[arg(long)]
    pub(crate) split: Split,
    /// Questions a family.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=MOST_QUESTIONS))]
    pub(crate) n: u64,
    /// Seed of the pictures and questions.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Only these families; all by default.
    #[arg(long, value_delimiter = ',')]
    pub(crate) family: Vec<Family>,
}

impl SamplingArguments {
    /// The checked settings.
    ///
    /// # Errors
    ///
    /// A value out of range is wrong usage.
    pub(crate) fn settings(&self) -> Result<Sampling, Failure> {
        let sampling = Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        };
        sampling.check().map_err(|error| Failure::usage(error.to_string()))?;
        Ok(sampling)
    }
}

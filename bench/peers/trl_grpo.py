"""The rows of `cargo xtask bench rl`, computed by TRL's GRPOTrainer.

    trl_grpo.py WORKLOAD.json [OUT.json]

The workload, written by the benchmark, names the checkpoint, the questions, the group size and the number of threads, so
that both programs do the same work: f32 on the CPU, one turn with the full picture, samples at one temperature, an exact
match as the reward, every group learned from, one optimizer step a generation, a KL term towards a frozen copy. The first
step warms up and is not counted.
"""

import json
import re
import statistics
import sys
import time
from pathlib import Path


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    workload = json.loads(Path(sys.argv[1]).read_text())

    import torch

    torch.set_num_threads(workload["threads"])
    text = json.dumps(run(workload), indent=1)
    if len(sys.argv) == 3:
        Path(sys.argv[2]).write_text(text + "\n")
    else:
        print(text)
    return 0


def run(workload: dict) -> dict:
    import tempfile

    import torch
    import transformers
    import trl

    folder = workload["checkpoint"]
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    # The template lies with the tokenizer, where the processor does not look.
    processor.chat_template = processor.chat_template or processor.tokenizer.chat_template
    # TRL pads prompts in front, and takes the places of images from what the processor padded.
    processor.tokenizer.padding_side = "left"
    rollouts = workload["groups"] * workload["group_size"]
    with tempfile.TemporaryDirectory() as out:
        settings = trl.GRPOConfig(
            output_dir=out,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=workload["micro_batch"],
            gradient_accumulation_steps=rollouts // workload["micro_batch"],
            num_generations=workload["group_size"],
            max_completion_length=workload["max_new_tokens"],
            temperature=workload["temperature"],
            top_p=1.0,
            top_k=0,
            # Placeholders of images, which the other program never samples: they would be taken for images.
            generation_kwargs={"suppress_tokens": workload["suppressed_ids"]},
            beta=workload["kl_coefficient"],
            epsilon=0.2,
            learning_rate=workload["lr"],
            lr_scheduler_type="constant",
            max_steps=workload["steps"],
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            shuffle_dataset=False,
            dataloader_num_workers=0,
            seed=workload["seed"],
        )
        trainer = trl.GRPOTrainer(
            model=model,
            reward_funcs=exact,
            args=settings,
            train_dataset=questions(workload, processor),
            processing_class=processor,
        )
        phases = Phases(trainer)
        trainer.train()
    return {
        "program": "trl",
        "version": f"trl {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "rows": [*phases.rows(), row("peak_memory", "MiB", peak_memory_mib())],
    }


def questions(workload: dict, processor):
    from datasets import Dataset, Image

    lines = Path(workload["questions"]).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    folder = Path(workload["questions"]).parent
    data = {
        "prompt": [[{"role": "user", "content": row["question"]}] for row in rows],
        "answer": [row["answer"] for row in rows],
        "image": [str(folder / row["image"]) for row in rows],
    }
    return Dataset.from_dict(data).cast_column("image", Image())


def exact(completions, answer, **_) -> list[float]:
    def text(completion) -> str:
        said = completion[-1]["content"] if isinstance(completion, list) else completion
        return said if isinstance(said, str) else "".join(part.get("text", "") for part in said)

    said = [re.sub(r"</?answer>", "", text(completion)).strip().lower() for completion in completions]
    return [float(given == expected.lower()) for given, expected in zip(said, answer)]


class Phases:
    """Times of the trainer's own methods, step by step: generating (with scoring and log-probabilities), and the rest."""

    def __init__(self, trainer):
        self.trainer = trainer
        self.rollout, self.score, self.steps = [], [], []
        self.sampled = []
        self.wrap("_generate", self.rollout)
        self.wrap("_generate_and_score_completions", self.score)
        self.wrap_steps()

    def wrap(self, name: str, seconds: list):
        method = getattr(self.trainer, name)

        def timed(*arguments, **named):
            start = time.perf_counter()
            result = method(*arguments, **named)
            seconds.append(time.perf_counter() - start)
            if name == "_generate":
                self.sampled.append(sum(len(ids) for ids in completion_ids(result)))
            return result

        setattr(self.trainer, name, timed)

    def wrap_steps(self):
        import transformers

        phases = self

        class Clock(transformers.TrainerCallback):
            def on_step_begin(self, *_, **__):
                self.start = time.perf_counter()

            def on_step_end(self, *_, **__):
                phases.steps.append(time.perf_counter() - self.start)

        self.trainer.add_callback(Clock())

    def rows(self) -> list[dict]:
        # The first batch is taken before the first step begins, so step times without generation are added to it.
        rollout = statistics.median(self.rollout[1:])
        scored = statistics.median(self.score[1:])
        steps = statistics.median(self.steps[1:])
        tokens = statistics.median(self.sampled[1:])
        print("seconds: rollout", self.rollout, "with scores", self.score, "step", self.steps, file=sys.stderr)
        return [
            row("grpo_step", "ms", steps * 1e3),
            row("grpo_rollout", "ms", rollout * 1e3),
            row("grpo_learning", "ms", (steps - rollout) * 1e3),
            row("grpo_rollout_speed", "tokens/s", tokens / rollout),
            row("grpo_scoring_with_log_probs", "ms", (scored - rollout) * 1e3),
        ]


def completion_ids(result):
    return result[1]


def row(name: str, unit: str, value: float) -> dict:
    return {"name": name, "unit": unit, "value": round(value, 3)}


def peak_memory_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("`/proc/self/status` has no `VmHWM`; peak memory is read on Linux only")


if __name__ == "__main__":
    raise SystemExit(main())

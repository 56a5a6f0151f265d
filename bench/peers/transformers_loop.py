"""Questions answered by transformers in a plain loop, one after the other, as a program without a server would.

    transformers_loop.py CHECKPOINT QUESTIONS.jsonl [OUT.json]

A line of QUESTIONS.jsonl holds `image` (a file beside it), `question` and `answer`. The image is shown in full. Greedy, f32 on
the CPU, with the threads that torch takes by itself. Prints requests a second, latencies and the share of right answers.
"""

import json
import re
import statistics
import sys
import time
from pathlib import Path

MAX_NEW_TOKENS = 64
WARM_UP = 16


def main() -> int:
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    import torch

    questions = Path(sys.argv[2])
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    with torch.inference_mode():
        report = run(sys.argv[1], questions.parent, rows)
    for row in report["rows"]:
        print(f"  {row['name']:<44} {row['value']:>10.2f} {row['unit']}")
    if len(sys.argv) == 4:
        Path(sys.argv[3]).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def run(folder: str, images: Path, rows: list[dict]) -> dict:
    import torch
    import transformers
    from PIL import Image

    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)

    def answer(row: dict) -> str:
        seen = processor(images=[Image.open(images / row["image"]).convert("RGB")], return_tensors="pt")
        content = [{"type": "image"}, {"type": "text", "text": row["question"]}]
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
        pads = int(seen["image_grid_thw"][0].prod()) // processor.merge_size**2
        ids = tokenizer(prompt.replace("<|image_pad|>", "<|image_pad|>" * pads), return_tensors="pt").input_ids
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == model.config.image_token_id).int(),
            pixel_values=seen["pixel_values"], image_grid_thw=seen["image_grid_thw"], do_sample=False, max_new_tokens=MAX_NEW_TOKENS,
        )  # fmt: skip
        text = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        found = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
        return found.group(1).strip() if found else text

    for row in rows[:WARM_UP]:
        answer(row)
    times, right = [], 0
    began = time.perf_counter()
    for row in rows[WARM_UP:]:
        asked = time.perf_counter()
        right += answer(row) == row["answer"]
        times.append((time.perf_counter() - asked) * 1e3)
    seconds = time.perf_counter() - began
    times.sort()
    asked = len(times)
    return {
        "program": "transformers",
        "version": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "rows": [
            {"name": "plain_loop_full", "unit": "requests/s", "value": asked / seconds},
            {"name": "plain_loop_full_p50", "unit": "ms", "value": statistics.median(times)},
            {"name": "plain_loop_full_p99", "unit": "ms", "value": times[round(0.99 * (asked - 1))]},
            {"name": "plain_loop_full_right", "unit": "share", "value": right / asked},
        ],
    }


if __name__ == "__main__":
    sys.exit(main())

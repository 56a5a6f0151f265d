"""The rows of `cargo xtask bench`, computed by Hugging Face transformers.

    transformers_bench.py WORKLOAD.json [OUT.json]

The workload, written by the benchmark, names the checkpoint, the picture, the token ids and the number of threads, so
that both programs do the same work: f32 on the CPU, greedy, end tokens ignored. Decoding calls `forward` with a
`DynamicCache` rather than `generate`, which is the faster of the two ways to run this model: what is compared is the
network, not a generation loop.
"""

import json
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
    with torch.inference_mode():
        report = run(workload)
    text = json.dumps(report, indent=1)
    if len(sys.argv) == 3:
        Path(sys.argv[2]).write_text(text + "\n")
    else:
        print(text)
    return 0


def run(workload: dict) -> dict:
    import torch
    import transformers

    folder = workload["checkpoint"]
    model_class = transformers.Qwen2_5_VLForConditionalGeneration
    start = time.perf_counter()
    model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    load_seconds = time.perf_counter() - start
    processor = transformers.AutoImageProcessor.from_pretrained(folder)

    rows = [
        row("load", "ms", load_seconds * 1e3),
        *vision_rows(model, processor, workload),
        prefill_row(model, workload),
        *(decode_row(model, workload, batch) for batch in workload["decode"]["batches"]),
        *two_turn_rows(model, processor, workload),
        row("peak_memory", "MiB", peak_memory_mib()),
    ]
    return {
        "program": "transformers",
        "version": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "rows": rows,
    }


def vision_rows(model, processor, workload: dict) -> list[dict]:
    path = Path(workload["image"])
    prepared = prepare(processor, open_image(path))

    def tower():
        model.model.get_image_features(**prepared)

    return [
        row("image_preparation", "ms", median_ms(lambda: prepare(processor, open_image(path)), workload)),
        row("vision_tower", "ms", median_ms(tower, workload)),
    ]


def prefill_row(model, workload: dict) -> dict:
    import torch

    ids = torch.tensor([workload["prefill"]["ids"]])

    def prefill():
        model(input_ids=ids, use_cache=True, logits_to_keep=1)

    return row("prefill", "tokens/s", ids.shape[1] / (median_ms(prefill, workload) / 1e3))


def decode_row(model, workload: dict, batch: int) -> dict:
    import torch

    ids = torch.tensor(workload["decode"]["ids"][:batch])
    steps = workload["decode"]["new_tokens"]
    seconds = []
    for _ in range(workload["repeats"]):
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1].argmax(-1, keepdim=True)
        position = ids.shape[1]
        start = time.perf_counter()
        for step in range(steps):
            positions = torch.full((3, batch, 1), position + step)
            out = model(
                input_ids=token, position_ids=positions, past_key_values=out.past_key_values, use_cache=True
            )
            token = out.logits[:, -1].argmax(-1, keepdim=True)
        seconds.append(time.perf_counter() - start)
    return row(f"decode_batch_{batch}", "tokens/s", batch * steps / statistics.median(seconds))


def two_turn_rows(model, processor, workload: dict) -> list[dict]:
    """A conversation of two turns: a question about the half-size picture, then the picture itself."""
    from PIL import Image

    image = open_image(Path(workload["image"]))
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    low, full = prepare(processor, half), prepare(processor, image)
    return [
        row("two_turns_cache_kept", "ms", median_ms(lambda: two_turns(model, low, full, workload, True), workload)),
        row(
            "two_turns_prefilled_again",
            "ms",
            median_ms(lambda: two_turns(model, low, full, workload, False), workload),
        ),
    ]


def two_turns(model, low: dict, full: dict, workload: dict, keep_cache: bool) -> None:
    import torch

    turns = workload["two_turns"]
    first = torch.tensor([turns["first_ids"]])
    second = torch.tensor([turns["second_ids"]])
    steps = turns["new_tokens"]

    reply, cache = answer(model, first, first, low["image_grid_thw"], low, None, steps)
    conversation = torch.cat([first, reply, second], dim=1)
    grids = torch.cat([low["image_grid_thw"], full["image_grid_thw"]])
    if keep_cache:
        # The last sampled token has not been through the model yet, so it leads the new ids.
        new = torch.cat([reply[:, -1:], second], dim=1)
        answer(model, conversation, new, grids, full, cache, steps)
    else:
        both = {"pixel_values": torch.cat([low["pixel_values"], full["pixel_values"]]), "image_grid_thw": grids}
        answer(model, conversation, conversation, grids, both, None, steps)


def answer(model, conversation, new, grids, images: dict, cache, steps: int):
    """Prefills the ids in `new`, the tail of `conversation`, and decodes `steps` tokens greedily."""
    import torch

    kinds = (conversation == model.config.image_token_id).int()
    positions, delta = model.model.get_rope_index(conversation, mm_token_type_ids=kinds, image_grid_thw=grids)
    length = new.shape[1]
    out = model(
        input_ids=new,
        position_ids=positions[:, :, -length:],
        mm_token_type_ids=kinds[:, -length:],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **images,
    )
    tokens = [best_text_token(model, out.logits)]
    position = conversation.shape[1] + int(delta)
    for step in range(steps - 1):
        out = model(
            input_ids=tokens[-1],
            position_ids=torch.full((3, 1, 1), position + step),
            past_key_values=out.past_key_values,
            use_cache=True,
        )
        tokens.append(best_text_token(model, out.logits))
    return torch.cat(tokens, dim=1), out.past_key_values


def best_text_token(model, logits):
    """The most likely token, never the placeholder of an image: it would be taken for one in the second turn."""
    last = logits[:, -1]
    last[:, model.config.image_token_id] = float("-inf")
    return last.argmax(-1, keepdim=True)


def open_image(path: Path):
    from PIL import Image

    return Image.open(path).convert("RGB")


def prepare(processor, image) -> dict:
    prepared = processor(images=[image], return_tensors="pt")
    return {"pixel_values": prepared["pixel_values"], "image_grid_thw": prepared["image_grid_thw"]}


def median_ms(call, workload: dict) -> float:
    """Median over the repeats, after one call that is not counted."""
    call()
    times = []
    for _ in range(workload["repeats"]):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def row(name: str, unit: str, value: float) -> dict:
    return {"name": name, "unit": unit, "value": round(value, 3)}


def peak_memory_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("`/proc/self/status` has no `VmHWM`; peak memory is read on Linux only")


if __name__ == "__main__":
    raise SystemExit(main())

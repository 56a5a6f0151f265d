"""Loads a checkpoint that the project saved with transformers, and compares what both compute from it.

    load_saved.py FOLDER

FOLDER is what `visionthink-bench save CHECKPOINT FOLDER [ADAPTER]` wrote: the checkpoint as the project saves it, and beside it

    values.json           `prompt` (text, one `<|image_pad|>` per image), `images` (files in FOLDER)
    values.safetensors    `input_ids` [T] and `image_grid_thw` [images, 3] i64, `pixel_values` [P, values] and
                          `logits` [T, V] f32, as the project computed them
    adapter/              where one was given: the adapter as the project saves it, which the logits are with

Checks: every tensor of the file is used and none is missing, also where PEFT puts the adapter on; the tokenizer and the processor load and give the same
ids, grids and pixels; the logits agree. Prints the largest differences; exit code 0 only if all checks hold.
"""

import json
import sys
from pathlib import Path

# Both compute in f32, in another order of summation: relative to the largest logit, as the two attention variants of
# transformers differ by up to 4e-6 on small models.
LOGITS_RELATIVE = 1e-4
# One level of 255 in a resampled byte, divided by the smallest standard deviation in use, is 0.0151.
PIXELS = 0.0152


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])

    import torch

    with torch.inference_mode():
        checks = run(folder)
    for name, held, detail in checks:
        print(f"{'ok    ' if held else 'FAILED'} {name}: {detail}")
    return 0 if all(held for _, held, _ in checks) else 1


def run(folder: Path) -> list[tuple[str, bool, str]]:
    import torch
    import transformers
    from PIL import Image
    from safetensors.torch import load_file

    values = json.loads((folder / "values.json").read_text())
    ours = load_file(folder / "values.safetensors")

    model, loading = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    faults = {kind: sorted(map(str, names)) for kind, names in loading.items() if names}
    checks = [("tensors", not faults, str(faults) if faults else f"{len(model.state_dict())} names, all found")]

    if (folder / "adapter").is_dir():
        import peft

        model = peft.PeftModel.from_pretrained(model, folder / "adapter")
        saved = load_file(folder / "adapter/adapter_model.safetensors")
        loaded = peft.get_peft_model_state_dict(model)
        wrong = sorted(set(saved) ^ set(loaded)) or [n for n in saved if not torch.equal(saved[n], loaded[n])]
        checks.append(("adapter", not wrong, str(wrong) if wrong else f"{len(saved)} tensors, all found"))
    model.eval()

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    plain = tokenizer(values["prompt"])["input_ids"]
    processor = transformers.AutoProcessor.from_pretrained(folder)
    images = [Image.open(folder / name).convert("RGB") for name in values["images"]]
    theirs = processor(text=[values["prompt"]], images=images or None, return_tensors="pt")

    ids = ours["input_ids"]
    unexpanded = plain.count(model.config.image_token_id)
    checks.append(
        ("tokenizer", unexpanded == len(images), f"{len(plain)} tokens, {unexpanded} of them stand for images")
    )
    same = theirs["input_ids"][0].tolist() == ids.tolist()
    checks.append(("input_ids", same, f"{ids.numel()} ids, {'the same' if same else 'not the same'}"))
    if not same:
        return checks

    pictures = {}
    if images:
        grids = ours["image_grid_thw"]
        same = theirs["image_grid_thw"].tolist() == grids.tolist()
        checks.append(("image_grid_thw", same, str(grids.tolist())))
        if not same:
            return checks
        checks.append(compare("pixel_values", ours["pixel_values"], theirs["pixel_values"], PIXELS))
        pictures = {"pixel_values": ours["pixel_values"], "image_grid_thw": grids}

    kinds = (ids == model.config.image_token_id).int()[None]
    logits = model(input_ids=ids[None], mm_token_type_ids=kinds, **pictures).logits[0]
    limit = LOGITS_RELATIVE * logits.abs().max().item()
    checks.append(compare("logits", ours["logits"], logits, limit))
    return checks


def compare(name: str, ours, theirs, limit: float) -> tuple[str, bool, str]:
    if ours.shape != theirs.shape:
        return name, False, f"{list(ours.shape)} against {list(theirs.shape)}"
    if not ours.isfinite().all():
        return name, False, "not finite"
    difference = (ours.float() - theirs.float()).abs()
    largest = difference.max().item()
    index = [int(i) for i in (difference == difference.max()).nonzero()[0]]
    detail = f"largest difference {largest:.2e} at {index}, limit {limit:.2e}, over {list(ours.shape)}"
    return name, largest <= limit, detail


if __name__ == "__main__":
    raise SystemExit(main())

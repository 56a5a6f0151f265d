"""The GRPO loss of two-turn rollouts and its gradients, computed by PyTorch: the fixture of the project's own test.

    policy_gradient.py CHECKPOINT OUT       # fixtures/models/qwen2_5_vl-a fixtures/grpo

One group of five rollouts about one drawn picture: two call for the full image and answer behind it, three answer at once. All are one
left-padded batch. Loss, f32 on the CPU, with `z` the logits over the temperature, `r = exp(log p - log p_old)` and the mean over rollouts
of the mean over their sampled tokens:

    mean(max(-A r, -A clamp(r, 1 - clip_low, 1 + clip_high))) + kl_coefficient mean(k3) - entropy_coefficient mean(H)

The old log-probabilities are the current ones plus seeded noise, wide enough that tokens are clipped on both sides; those of the reference
policy come from the same network with every weight moved a little.

OUT/two_turn.json           settings, parts of the loss, and per parameter the norm of its gradient and its products with four vectors of
                            signs, `sign(seed, i)` below
OUT/two_turn.safetensors    levels [P, 1176] u8: the patches of the low image, then of the full one, before normalisation;
                            ids.ROW, targets.ROW (places of sampled tokens), log_probs.ROW, old.ROW, reference.ROW;
                            grad.NAME: the gradient where it has at most 512 numbers, sample.NAME: 64 numbers evenly spaced elsewhere,
                            both in the layout of files
"""

import json
import sys
from pathlib import Path

SEED = 20260
SETTINGS = {
    "temperature": 0.8,
    "clip_low": 0.2,
    "clip_high": 0.28,
    "kl_coefficient": 0.05,
    "entropy_coefficient": 0.01,
}
# Without a mean of zero, as after a group that held more rollouts.
ADVANTAGES = [1.3, -0.8, 0.6, -1.1, 0.4]
NOISE = 0.5
QUESTION = "Which colour has the large circle?"
CALL = '<think>Too small.</think>\n<tool_call>\n{"name": "resize_image", "arguments": {"action": "resize"}}\n</tool_call><|im_end|>'
REPLIES = [
    [CALL, "<think>Now I see it.</think>\n<answer>red</answer><|im_end|>"],
    [CALL, "<answer>blue</answer><|im_end|>"],
    ["<think>It is plain to see.</think>\n<answer>red</answer><|im_end|>"],
    ["<answer>green</answer><|im_end|>"],
    ["<answer>red it is</answer><|im_end|>"],
]
FULL_SIZE = (168, 112)
EXACT_LIMIT = 512
SAMPLES = 64


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    checkpoint, out = Path(sys.argv[1]), Path(sys.argv[2])

    import numpy
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    processor = transformers.AutoImageProcessor.from_pretrained(checkpoint)

    full = picture()
    low = full.resize((FULL_SIZE[0] // 2, FULL_SIZE[1] // 2), resample=1)
    views = [processor(images=[view], do_resize=False, return_tensors="pt") for view in (low, full)]
    tokens = [int(view["image_grid_thw"][0].prod()) // 4 for view in views]
    rows = [rollout(tokenizer, replies, tokens) for replies in REPLIES]
    batch = collate(rows, views, model.config)

    current = log_probs_and_entropies(model, batch, rows)
    generator = numpy.random.default_rng(SEED)
    old = [
        log_probs.detach() + torch.tensor(generator.uniform(-NOISE, NOISE, len(log_probs)), dtype=torch.float32)
        for log_probs, _ in current
    ]
    reference = reference_log_probs(checkpoint, batch, rows)
    loss, parts = policy_loss(current, old, reference)
    assert parts["clipped_high"] > 2 and parts["clipped_low"] > 2, parts
    loss.backward()

    tensors = {"levels": levels(processor, views)}
    for row, (ids, targets) in enumerate(rows):
        tensors[f"ids.{row}"] = torch.tensor(ids, dtype=torch.int32)
        tensors[f"targets.{row}"] = torch.tensor(targets, dtype=torch.int32)
        tensors[f"log_probs.{row}"] = current[row][0].detach().clone()
        tensors[f"old.{row}"] = old[row]
        tensors[f"reference.{row}"] = reference[row]
    gradients = {}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad.flatten().double().numpy()
        assert numpy.isfinite(gradient).all(), name
        products = [float((gradient * signs(seed, len(gradient))).sum()) for seed in range(4)]
        gradients[name] = {"norm": float(numpy.linalg.norm(gradient)), "products": products}
        small = len(gradient) <= EXACT_LIMIT
        index = numpy.arange(len(gradient)) if small else numpy.arange(SAMPLES) * len(gradient) // SAMPLES
        tensors[f"{'grad' if small else 'sample'}.{name}"] = torch.tensor(gradient[index], dtype=torch.float32)

    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "two_turn.safetensors")
    report = {
        "checkpoint": checkpoint.name,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "seed": SEED,
        "settings": SETTINGS,
        "advantages": ADVANTAGES,
        "images": [len(replies) for replies in REPLIES],
        "grids": [view["image_grid_thw"][0].tolist() for view in views],
        "image_mean": processor.image_mean,
        "image_std": processor.image_std,
        "loss": float(loss.detach()),
        "parts": parts,
        "gradients": gradients,
    }
    (out / "two_turn.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(parts | {"loss": report["loss"], "lengths": [len(ids) for ids, _ in rows]}))
    return 0


def picture():
    """A scene with something to see at either size."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", FULL_SIZE, (245, 240, 228))
    draw = ImageDraw.Draw(image)
    draw.ellipse((12, 10, 84, 82), fill=(200, 40, 30))
    draw.rectangle((96, 22, 150, 60), fill=(30, 90, 190))
    draw.polygon(((60, 106), (92, 70), (124, 106)), fill=(20, 150, 70))
    for x in range(100, 160, 6):
        draw.line((x, 66, x, 100), fill=(10, 10, 10))
    return image


def rollout(tokenizer, replies, tokens):
    """The ids of a conversation, image tokens expanded, and the places of what the policy sampled."""

    def image(count):
        return "<|vision_start|>" + "<|image_pad|>" * count + "<|vision_end|>"

    prompts = [
        "<|im_start|>system\nYou may look closer once.<|im_end|>\n<|im_start|>user\n"
        + image(tokens[0])
        + f"\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\n<tool_response>\nThe full image:\n"
        + image(tokens[1])
        + "\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    ]
    ids, targets = [], []
    for prompt, reply in zip(prompts, replies):
        ids += tokenizer(prompt)["input_ids"]
        sampled = tokenizer(reply)["input_ids"]
        targets += range(len(ids), len(ids) + len(sampled))
        ids += sampled
    return ids, targets


def collate(rows, views, config):
    """One batch, padded on the left; the images in the order of the rows."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for row, (own, _) in enumerate(rows):
        ids[row, longest - len(own) :] = torch.tensor(own)
        mask[row, longest - len(own) :] = 1
    shown = [view for replies in REPLIES for view in views[: len(replies)]]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "mm_token_type_ids": (ids == config.image_token_id).int(),
        "pixel_values": torch.cat([view["pixel_values"] for view in shown]),
        "image_grid_thw": torch.cat([view["image_grid_thw"] for view in shown]),
    }


def log_probs_and_entropies(model, batch, rows):
    """Of the sampled tokens of every row."""
    import torch

    logits = model(**batch, use_cache=False).logits / SETTINGS["temperature"]
    longest = batch["input_ids"].shape[1]
    found = []
    for row, (ids, targets) in enumerate(rows):
        before = torch.tensor(targets) + longest - len(ids) - 1
        distribution = torch.log_softmax(logits[row, before], dim=-1)
        sampled = torch.tensor([ids[at] for at in targets])
        log_probs = distribution.gather(1, sampled[:, None])[:, 0]
        found.append((log_probs, -(distribution.exp() * distribution).sum(-1)))
    return found


def reference_log_probs(checkpoint, batch, rows):
    """Of the same network with every weight moved by a fiftieth of its parameter's spread."""
    import torch
    import transformers

    moved = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    generator = torch.Generator().manual_seed(SEED + 1)
    with torch.no_grad():
        for parameter in moved.parameters():
            spread = parameter.std() if parameter.numel() > 1 else parameter.abs()
            parameter += torch.randn(parameter.shape, generator=generator) * spread / 50
        return [log_probs for log_probs, _ in log_probs_and_entropies(moved, batch, rows)]


def policy_loss(current, old, reference):
    import torch

    low, high = 1 - SETTINGS["clip_low"], 1 + SETTINGS["clip_high"]
    totals = {"policy_gradient": 0.0, "kl": 0.0, "entropy": 0.0}
    clipped_low = clipped_high = tokens = 0
    for (log_probs, entropies), before, frozen, advantage in zip(current, old, reference, ADVANTAGES):
        ratio = torch.exp(log_probs - before)
        free, clamped = -advantage * ratio, -advantage * ratio.clamp(low, high)
        clipped = clamped > free
        clipped_low += int((clipped & (ratio < low)).sum())
        clipped_high += int((clipped & (ratio > high)).sum())
        tokens += len(log_probs)
        difference = frozen - log_probs
        k3 = (difference.exp() - difference - 1).clamp(-10, 10)
        share = 1 / len(current)
        totals["policy_gradient"] = totals["policy_gradient"] + share * torch.maximum(free, clamped).mean()
        totals["kl"] = totals["kl"] + share * k3.mean()
        totals["entropy"] = totals["entropy"] + share * entropies.mean()
    loss = (
        totals["policy_gradient"]
        + SETTINGS["kl_coefficient"] * totals["kl"]
        - SETTINGS["entropy_coefficient"] * totals["entropy"]
    )
    parts = {name: float(value.detach()) for name, value in totals.items()}
    return loss, parts | {"tokens": tokens, "clipped_low": clipped_low, "clipped_high": clipped_high}


def levels(processor, views):
    """The bytes that the normalised patches came from."""
    import torch

    pixels = torch.cat([view["pixel_values"] for view in views])
    values = pixels.shape[1] // 3
    mean = torch.tensor(processor.image_mean).repeat_interleave(values)
    std = torch.tensor(processor.image_std).repeat_interleave(values)
    exact = (pixels * std + mean) * 255
    assert (exact - exact.round()).abs().max() < 0.01
    return exact.round().to(torch.uint8)


def signs(seed, count):
    """+1 or -1 for every index: the top bit of (i + 1 + 2^32 seed) times the odd constant of Fibonacci hashing, its high half mixed in."""
    import numpy

    with numpy.errstate(over="ignore"):
        mixed = (numpy.arange(1, count + 1, dtype=numpy.uint64) + (numpy.uint64(seed) << numpy.uint64(32))) * numpy.uint64(
            0x9E3779B97F4A7C15
        )
        mixed = (mixed ^ (mixed >> numpy.uint64(29))) * numpy.uint64(0xBF58476D1CE4E5B9)
    return numpy.where(mixed >> numpy.uint64(63), 1.0, -1.0)


if __name__ == "__main__":
    raise SystemExit(main())

"""Makes `fixtures/lora`: an adapter that PEFT made, and what PyTorch computes with it.

    make_lora.py CHECKPOINT OUT

CHECKPOINT is `fixtures/models/qwen2_5_vl-a`; the example is its `cases/grad`. OUT gets the adapter as PEFT saves it (`adapter_config.json`,
`adapter_model.safetensors`), and

    values.safetensors    `loss` [1], `logits_last8` [8, V], and `grad.NAME` for every tensor NAME of the adapter, f32
    manifest.json         versions, seed and settings
"""

import json
import sys
from pathlib import Path

SEED = 17
# The names also fit the feed-forward parts of the vision tower, as names in a list do in PEFT.
TARGETS = ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]
SETTINGS = {"r": 2, "lora_alpha": 3, "use_rslora": True, "target_modules": TARGETS, "modules_to_save": ["merger.ln_q"]}
B_DEVIATION = 0.1


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    checkpoint, out = map(Path, sys.argv[1:])

    import peft
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **SETTINGS))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=B_DEVIATION)
            if "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter) * B_DEVIATION)
    model.eval()

    example = load_file(checkpoint / "cases/grad.safetensors")
    ids, labels = example["input_ids"].long(), example["labels"].long()
    kinds = (ids == model.config.image_token_id).int()[None]
    logits = model(
        input_ids=ids[None],
        mm_token_type_ids=kinds,
        pixel_values=example["pixel_values"],
        image_grid_thw=example["image_grid_thw"].long().reshape(-1, 3),
    ).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], labels[1:], ignore_index=-100)
    loss.backward()

    values = {"loss": loss.detach().reshape(1), "logits_last8": logits.detach()[-8:].contiguous()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # The names that a saved adapter has.
            name = name.replace(".default", "").replace(".modules_to_save", "")
            values[f"grad.{name}"] = parameter.grad.contiguous()

    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    saved = load_file(out / "adapter_model.safetensors")
    assert {f"grad.{name}" for name in saved} == {name for name in values if name.startswith("grad.")}
    save_file(values, out / "values.safetensors")
    config = json.loads((out / "adapter_config.json").read_text())
    config["target_modules"].sort()  # a set in PEFT
    config["base_model_name_or_path"] = "fixtures/models/qwen2_5_vl-a"
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    manifest = {
        "script": "bench/peers/make_lora.py",
        "seed": SEED,
        "b_deviation": B_DEVIATION,
        "settings": SETTINGS,
        "example": "fixtures/models/qwen2_5_vl-a/cases/grad",
        "peft": peft.__version__,
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Trains the mini CLIP on drawn scenes and made-up captions with open_clip's own contrastive loss.

    python -m tools.pretrain_mini --out runs/mini --threads 4

The run can be cut off at any moment; the same command goes on from its last checkpoint. Snapshots are open_clip local
folders (``local-dir:``); the last one is what ``clipprompt/mini/assets`` holds.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import AdamW
from torchmetrics.functional.classification import multilabel_average_precision

from clipprompt.files import replace_file, write_json
from clipprompt.mini.render import render_seeds
from clipprompt.mini.scenes import VOC_CLASSES, sample_scene, split_seeds
from tools._mini_data import training_data, trimmed, with_random_tokens

CONFIG = Path(__file__).with_suffix(".json")


def encode_trimmed_text(model: Any, tokens: Tensor) -> Tensor:
    """open_clip's ``encode_text`` on token ids (B, L) shorter than the context: equal, since the tower is causal."""
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return F.normalize(x[torch.arange(len(x)), tokens.argmax(1)] @ model.text_projection, dim=-1)


def to_input(pictures: NDArray[np.uint8], preprocess: dict[str, Any]) -> Tensor:
    """What the inference preprocess makes of pictures (B, size, size, 3): enlarged, normalised, channels last."""
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 255
    size = preprocess["size"]
    x = F.interpolate(x, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (torch.tensor(preprocess[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def batch(step: int, config: dict[str, Any], pictures: NDArray[Any], tokens: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """The batch of a step: it depends on the seed and the step alone, so a resumed run goes on with the same one."""
    size, seed = config["batch_size"], config["seed"]
    per_epoch = len(pictures) // size
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(len(pictures))[place * size : (place + 1) * size]
    rng = np.random.default_rng((seed, 1, step))
    images = pictures[np.sort(order)]
    mirrored = rng.random(size) < 0.5
    images[mirrored] = images[mirrored, :, ::-1]
    words = tokens[np.sort(order), rng.integers(0, tokens.shape[1], size)].astype(np.int64)
    words = trimmed(with_random_tokens(words, config["random_tokens"], rng))
    return to_input(images, config["preprocess_cfg"]), torch.from_numpy(words)


def learning_rate(step: int, config: dict[str, Any]) -> float:
    """Linear warm-up, then half a cosine to zero."""
    warm, steps = int(config["warmup_steps"]), int(config["steps"])
    peak = float(config["learning_rate"])
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


def build_optimizer(model: torch.nn.Module, config: dict[str, Any]) -> AdamW:
    """AdamW; gains, biases and the temperature do not decay."""
    plain = [p for p in model.parameters() if p.ndim >= 2]
    bare = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": plain, "weight_decay": config["weight_decay"]}, {"params": bare, "weight_decay": 0.0}]
    return AdamW(groups, lr=config["learning_rate"], betas=(0.9, 0.98), eps=1e-6, fused=True)


def train_step(model: Any, optimizer: AdamW, images: Tensor, tokens: Tensor, loss_fn: Any) -> float:
    """One contrastive step in bfloat16 autocast; returns the loss."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image_features = model.encode_image(images, normalize=True)
        text_features = encode_trimmed_text(model, tokens)
    loss = loss_fn(image_features.float(), text_features.float(), model.logit_scale.exp())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))
    return float(loss.detach())


@torch.no_grad()
def zero_shot_map(model: Any, config: dict[str, Any]) -> float:
    """Zero-shot mAP (0..1) over the VOC classes on validation scenes, with the usual template."""
    seeds = split_seeds("val", config["val_scenes"])
    pictures = render_seeds(seeds, config["scene_size"])
    model.eval()
    parts = [to_input(pictures[k : k + 250], config["preprocess_cfg"]) for k in range(0, len(pictures), 250)]
    images = torch.cat([model.encode_image(part, normalize=True) for part in parts])
    tokenizer = open_clip.SimpleTokenizer()
    texts = model.encode_text(tokenizer([f"a photo of a {name}." for name in VOC_CLASSES]), normalize=True)
    model.train()
    labels = torch.tensor([sample_scene(seed).labels() for seed in seeds])
    return float(multilabel_average_precision(images @ texts.T, labels, num_labels=len(VOC_CLASSES)))


def write_snapshot(model: Any, config: dict[str, Any], folder: Path, figures: dict[str, Any]) -> None:
    """An open_clip local folder: config, float16 weights, and the run's figures."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        key: value.half().contiguous() if value.is_floating_point() else value
        for key, value in model.state_dict().items()
    }
    with replace_file(folder / "open_clip_model.safetensors") as part:
        save_file(state, part)
    write_json(folder / "open_clip_config.json", {key: config[key] for key in ("model_cfg", "preprocess_cfg")})
    write_json(folder / "figures.json", figures)


def write_checkpoint(path: Path, step: int, seconds: float, model: Any, optimizer: AdamW) -> None:
    """All that the run needs to go on after ``step`` steps."""
    with replace_file(path) as part:
        torch.save(
            {"step": step, "seconds": seconds, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, part
        )


def figures_of(config: dict[str, Any], step: int, seconds: float, model: Any) -> dict[str, Any]:
    """Seed, steps, wall time, score, versions."""
    return {
        "seed": config["seed"],
        "steps": step,
        "of_steps": config["steps"],
        "images_seen": step * config["batch_size"],
        "wall_seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "zero_shot_map_val": round(zero_shot_map(model, config), 4),
        "logit_scale": round(float(model.logit_scale.detach().exp()), 2),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "open_clip": open_clip.__version__,
        },
    }


def train(config: dict[str, Any], out: Path, workers: int) -> None:
    """The whole run: data, steps, checkpoints, snapshots."""
    out.mkdir(parents=True, exist_ok=True)
    pictures, tokens = training_data(out, config, workers)
    torch.manual_seed(config["seed"])
    model: Any = open_clip.model.CLIP(**config["model_cfg"]).to(memory_format=torch.channels_last).train()
    optimizer, loss_fn = build_optimizer(model, config), open_clip.ClipLoss()
    first, seconds, checkpoint = 0, 0.0, out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        first, seconds = saved["step"], saved["seconds"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    marks = {round(part * config["steps"]): part for part in config["snapshots"]}
    start = time.monotonic() - seconds
    for step in range(first, config["steps"]):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        loss = train_step(model, optimizer, *batch(step, config, pictures, tokens), loss_fn)
        done, seconds = step + 1, time.monotonic() - start
        if done % 25 == 0:
            print(f"step {done}/{config['steps']} loss {loss:.3f} seconds {seconds:.0f}", file=sys.stderr, flush=True)
        if done % config["checkpoint_every"] == 0:
            write_checkpoint(checkpoint, done, seconds, model, optimizer)
        if done in marks:
            figures = figures_of(config, done, seconds, model)
            write_snapshot(model, config, out / f"snapshot_{round(100 * marks[done]):03d}", figures)
            print(json.dumps(figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: drawn data, checkpoint, snapshots")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(json.loads(options.config.read_text(encoding="utf-8")), options.out, options.threads)


if __name__ == "__main__":
    main()

"""Trains mini-vit, a small VisionTransformer that stands in for mini's ResNet, before mini's own, locked text tower.

    python -m tools.pretrain_mini_vit --out runs/mini_vit --threads 4

It learns from what ``mini`` makes of drawn scenes: the image's feature, the features of its places, and how it ranks
the 20 VOC classes. No caption, no label and no other class name is used. The run can be cut off at any moment; the same
command goes on from its last checkpoint. The last snapshot is what ``clipprompt/mini/assets_vit`` holds.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Muon, Optimizer

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.backbone._vit import ViTTower
from clipprompt.files import replace_file, write_json
from clipprompt.mini import ASSETS
from clipprompt.mini.render import render_seeds
from clipprompt.mini.scenes import VOC_CLASSES, split_seeds
from tools._mini_data import training_pictures
from tools._mini_replicas import Replicas
from tools._mini_teacher import Targets, features, targets
from tools.pretrain_mini import to_input, zero_shot_map

CONFIG = Path(__file__).with_suffix(".json")


def rows_of(step: int, config: dict[str, Any]) -> NDArray[np.int64]:
    """The rows of a step's batch: they depend on the seed and the step alone, so a resumed run goes on with them."""
    size, n = config["batch_size"], config["train_scenes"]
    epoch, place = divmod(step, n // size)
    order = np.random.default_rng((config["seed"], epoch)).permutation(n)
    return np.sort(order[place * size : (place + 1) * size])


def learning_rate_factor(step: int, config: dict[str, Any]) -> float:
    """Linear warm-up, then constant, then linear to zero over the last part of the steps."""
    warm, steps = config["warmup_steps"], config["steps"]
    last = config["decay_part"] * steps
    return float(min((step + 1) / warm, 1.0, (steps - step) / last))


def build_optimizers(visual: nn.Module, config: dict[str, Any]) -> list[Optimizer]:
    """Muon for the matrices of the blocks, AdamW for all else; gains and biases do not decay."""
    named = list(visual.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and ".resblocks." in name]
    plain = [p for name, p in named if p.ndim >= 2 and ".resblocks." not in name]
    bare = [p for _, p in named if p.ndim < 2]
    decay, rate = config["weight_decay"], config["learning_rate"]
    groups = [{"params": plain, "weight_decay": decay}, {"params": bare, "weight_decay": 0.0}]
    muon = Muon(matrices, lr=config["matrix_learning_rate"], weight_decay=decay, adjust_lr_fn="original")
    optimizers: list[Optimizer] = [muon, AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)]
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["peak"] = group["lr"]
    return optimizers


class Distillation:
    """The loss of a tower on some rows: squared distance of features, and divergence of the class probabilities."""

    def __init__(
        self, pictures: NDArray[np.uint8], wanted: Targets, texts: Tensor, scale: float, config: dict[str, Any]
    ) -> None:
        self._pictures, self._wanted, self._texts, self._scale, self._config = pictures, wanted, texts, scale, config

    def __call__(self, visual: Any, rows: NDArray[np.int64]) -> Tensor:
        """The mean loss of an open_clip VisionTransformer on these rows."""
        config, tower = self._config, ViTTower(visual)
        images, places = (torch.from_numpy(array[rows]).float() for array in self._wanted)
        hidden = tower.trunk(to_input(self._pictures[rows], config["preprocess_cfg"]))
        pooled = F.normalize(tower.pool(hidden), dim=-1)
        local = coarser(tower.project(hidden), hidden.grid, round(places.shape[1] ** 0.5))
        loss: Tensor = (
            config["image_weight"] * (pooled - images).square().sum(-1).mean()
            + config["places_weight"] * (local - places).square().sum(-1).mean()
            + config["class_weight"] * self._divergence(pooled, images)
        )
        return loss

    def _divergence(self, pooled: Tensor, images: Tensor) -> Tensor:
        ours, theirs = (F.log_softmax(self._scale * x @ self._texts.T, dim=-1) for x in (pooled, images))
        return F.kl_div(ours, theirs, log_target=True, reduction="batchmean")


def coarser(places: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Normalised means over blocks of places: (B, rows * columns, E) to (B, side * side, E)."""
    rows, columns = grid
    blocks = places.unflatten(1, (side, rows // side, side, columns // side)).mean((2, 4))
    return F.normalize(blocks.flatten(1, 2), dim=-1)


def build_model(config: dict[str, Any]) -> Any:
    """An open_clip CLIP with mini's text tower and temperature, and a new image tower."""
    mini = json.loads((ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config["seed"])
        model: Any = open_clip.model.CLIP(**{**mini, "vision_cfg": config["vision_cfg"]})
    teacher = load_backbone("mini", device="cpu").model
    with torch.no_grad():
        for name, value in teacher.state_dict().items():
            if not name.startswith("visual."):
                model.state_dict()[name].copy_(value)
    return model.eval()


def write_snapshot(model: Any, config: dict[str, Any], folder: Path, figures: dict[str, Any]) -> None:
    """Configuration, float16 weights of the image tower alone, and the run's figures."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.half().contiguous() for name, value in model.state_dict().items() if name.startswith("visual.")
    }
    with replace_file(folder / "vision.safetensors") as part:
        save_file(state, part)
    mini = json.loads((ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    model_cfg = {**mini, "vision_cfg": config["vision_cfg"]}
    written = {"model_cfg": model_cfg, "preprocess_cfg": config["preprocess_cfg"]}
    write_json(folder / "open_clip_config.json", written)
    write_json(folder / "figures.json", figures)


@torch.no_grad()
def closeness(model: Any, teacher: Backbone, teacher_input: Callable[[Any], Tensor], config: dict[str, Any]) -> float:
    """Mean cosine of the image features with mini's on validation scenes."""
    pictures = render_seeds(split_seeds("val", config["val_scenes"]), config["scene_size"])
    ours = model.encode_image(to_input(pictures, config["preprocess_cfg"]), normalize=True)
    parts = [features(teacher, pictures[k : k + 250], teacher_input)[0] for k in range(0, len(pictures), 250)]
    return float((ours * torch.cat(parts)).sum(-1).mean())


def train(config: dict[str, Any], out: Path, threads: int) -> None:
    """The whole run: data, targets, steps, checkpoints, snapshots."""
    out.mkdir(parents=True, exist_ok=True)
    teacher = load_backbone("mini", device="cpu")
    mini = json.loads((ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))
    teacher_input = partial(to_input, preprocess=mini["preprocess_cfg"])
    pictures = training_pictures(out, config, threads)
    wanted = targets(out, teacher, pictures, teacher_input, threads)
    texts = teacher.encode_text(teacher.tokenize([f"a photo of a {name}." for name in VOC_CLASSES]))
    loss_of = Distillation(pictures, wanted, F.normalize(texts, dim=-1), teacher.logit_scale, config)
    model = build_model(config)
    optimizers, replicas = build_optimizers(model.visual, config), Replicas(model.visual, threads)
    first, seconds, checkpoint = 0, 0.0, out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        first, seconds = saved["step"], saved["seconds"]
        model.visual.load_state_dict(saved["visual"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
    start, marks = time.monotonic() - seconds, {round(part * config["steps"]) for part in config["snapshots"]}
    for step in range(first, config["steps"]):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = group["peak"] * learning_rate_factor(step, config)
        loss = replicas.gradients(loss_of, rows_of(step, config))
        nn.utils.clip_grad_norm_(model.visual.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        done, seconds = step + 1, time.monotonic() - start
        if done % 50 == 0:
            print(f"step {done}/{config['steps']} loss {loss:.4f} seconds {seconds:.0f}", file=sys.stderr, flush=True)
        if done % config["checkpoint_every"] == 0:
            with replace_file(checkpoint) as part:
                states = {"visual": model.visual.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
                torch.save({"step": done, "seconds": seconds, **states}, part)
        if done in marks or done == config["steps"]:
            figures = {
                "seed": config["seed"],
                "steps": done,
                "of_steps": config["steps"],
                "images_seen": done * config["batch_size"],
                "wall_seconds": round(seconds),
                "threads": threads,
                "zero_shot_map_val": round(zero_shot_map(model, config), 4),
                "cosine_with_mini_val": round(closeness(model, teacher, teacher_input, config), 4),
                "versions": {
                    "python": platform.python_version(),
                    "torch": torch.__version__,
                    "open_clip": open_clip.__version__,
                },
            }
            write_snapshot(model, config, out / f"snapshot_{done:06d}", figures)
            print(json.dumps(figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: drawn data, checkpoint, snapshots")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(1)  # each thread of the run computes its own share; see Replicas
    train(json.loads(options.config.read_text(encoding="utf-8")), options.out, options.threads)


if __name__ == "__main__":
    main()

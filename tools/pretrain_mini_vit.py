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
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from clipprompt.backbone._vit import ViTTower
from clipprompt.files import replace_file, write_json
from clipprompt.mini import ASSETS
from clipprompt.mini.render import render_seeds
from clipprompt.mini.scenes import split_seeds
from tools._mini_data import training_pictures
from tools._mini_distillation import Distillation, coarser
from tools._mini_replicas import Replicas
from tools._mini_teacher import Teacher
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


def train_step(
    replicas: Replicas, optimizers: list[Optimizer], loss_of: Distillation, step: int, config: dict[str, Any]
) -> float:
    """One step of all optimizers; returns the loss."""
    factor = learning_rate_factor(step, config)
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = group["peak"] * factor
    loss = replicas.gradients(loss_of, rows_of(step, config))
    nn.utils.clip_grad_norm_(replicas.module.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return loss


def model_config(config: dict[str, Any]) -> dict[str, Any]:
    """open_clip's configuration of mini, with the new image tower."""
    mini = json.loads((ASSETS / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    return {**mini, "vision_cfg": config["vision_cfg"]}


def build_model(config: dict[str, Any], teacher: Teacher) -> Any:
    """An open_clip CLIP with mini's text tower and temperature, and a new image tower."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config["seed"])
        model: Any = open_clip.model.CLIP(**model_config(config))
    state = model.state_dict()
    mini = teacher.backbone.model.state_dict()
    model.load_state_dict({name: value if name.startswith("visual.") else mini[name] for name, value in state.items()})
    return model.eval()


def write_snapshot(model: Any, config: dict[str, Any], folder: Path, figures: dict[str, Any]) -> None:
    """Configuration, float16 weights of the image tower alone, and the run's figures."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {f"visual.{name}": value.half().contiguous() for name, value in model.visual.state_dict().items()}
    with replace_file(folder / "vision.safetensors") as part:
        save_file(state, part)
    written = {"model_cfg": model_config(config), "preprocess_cfg": config["preprocess_cfg"]}
    write_json(folder / "open_clip_config.json", written)
    write_json(folder / "figures.json", figures)


def write_checkpoint(path: Path, step: int, seconds: float, visual: nn.Module, optimizers: list[Optimizer]) -> None:
    """All that the run needs to go on after ``step`` steps."""
    states = {"visual": visual.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
    with replace_file(path) as part:
        torch.save({"step": step, "seconds": seconds, **states}, part)


def read_checkpoint(path: Path, visual: nn.Module, optimizers: list[Optimizer]) -> tuple[int, float]:
    """Puts a checkpoint's state back; gives the steps done and the seconds that they took, 0 and 0 without one."""
    if not path.exists():
        return 0, 0.0
    saved = torch.load(path, weights_only=True)
    visual.load_state_dict(saved["visual"])
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return saved["step"], saved["seconds"]


@torch.no_grad()
def closeness(model: Any, config: dict[str, Any], teacher: Teacher) -> tuple[float, float]:
    """Mean cosines with mini's features on validation scenes: of the images, and of their places."""
    pictures = render_seeds(split_seeds("val", config["val_scenes"]), config["scene_size"])
    tower = ViTTower(model.visual)
    cosines: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(pictures), 250):
        images, places = teacher.features(pictures[start : start + 250])
        hidden = tower.trunk(to_input(pictures[start : start + 250], config["preprocess_cfg"]))
        local = coarser(tower.project(hidden), hidden.grid, round(places.shape[1] ** 0.5))
        cosines.append((torch.cosine_similarity(tower.pool(hidden), images), (local * places).sum(-1).mean(1)))
    of_images, of_places = (float(torch.cat(parts).mean()) for parts in zip(*cosines, strict=True))
    return of_images, of_places


def figures_of(
    config: dict[str, Any], step: int, seconds: float, threads: int, model: Any, teacher: Teacher
) -> dict[str, Any]:
    """Seed, steps, wall time, scores, versions."""
    images, places = closeness(model, config, teacher)
    return {
        "seed": config["seed"],
        "steps": step,
        "of_steps": config["steps"],
        "images_seen": step * config["batch_size"],
        "wall_seconds": round(seconds),
        "threads": threads,
        "zero_shot_map_val": round(zero_shot_map(model, config), 4),
        "cosine_with_mini_val": round(images, 4),
        "cosine_of_places_val": round(places, 4),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "open_clip": open_clip.__version__,
        },
    }


def train(config: dict[str, Any], out: Path, threads: int) -> None:
    """The whole run: data, targets, steps, checkpoints, snapshots."""
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher()
    pictures = training_pictures(out, config, threads)
    loss_of = Distillation(teacher, pictures, teacher.targets(out, pictures, threads), config)
    model, checkpoint = build_model(config, teacher), out / "checkpoint.pt"
    optimizers, replicas = build_optimizers(model.visual, config), Replicas(model.visual, threads)
    first, seconds = read_checkpoint(checkpoint, model.visual, optimizers)
    marks = {round(part * config["steps"]) for part in config["snapshots"]}
    start = time.monotonic() - seconds
    for step in range(first, config["steps"]):
        loss = train_step(replicas, optimizers, loss_of, step, config)
        done, seconds = step + 1, time.monotonic() - start
        if done % 50 == 0:
            print(f"step {done}/{config['steps']} loss {loss:.4f} seconds {seconds:.0f}", file=sys.stderr, flush=True)
        if done % config["checkpoint_every"] == 0:
            write_checkpoint(checkpoint, done, seconds, model.visual, optimizers)
        if done in marks:
            figures = figures_of(config, done, seconds, threads, model, teacher)
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

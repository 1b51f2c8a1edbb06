"""Records of visual-tuning, made by hand: small numbers that can be checked in one's head."""

from __future__ import annotations

from typing import Any

from tests.reports.protocol_records import record

BACKBONE = 1_000_000
LEARNERS = {"full": "full", "linear": "linear", "partial-1": "partial", "vpt-deep": "vpt_head", "bias": "bias"}
NUMBERS = {"full": BACKBONE + 2_000, "linear": 2_000, "partial-1": 84_000, "vpt-deep": 12_000, "bias": 3_000}
SETS = {
    "fgvc": ("fgvc-cub", "fgvc-nabirds", "fgvc-flowers", "fgvc-dogs", "fgvc-cars"),
    "natural": tuple(f"vtab-natural-{n}" for n in range(7)),
    "specialized": tuple(f"vtab-specialized-{n}" for n in range(4)),
    "structured": tuple(f"vtab-structured-{n}" for n in range(8)),
}
GROUP_OF = {name: group for group, names in SETS.items() for name in names}
TIMM = {"backbone": "timm:vit_base_patch16_224", "pretrained": "orig_in21k"}


def tuned(
    method: str = "linear", dataset: str = "mini-objects", accuracy: float = 0.5, seed: int = 1, **more: Any
) -> dict[str, Any]:
    """One record; learnt from all pictures, without a grid, unless ``more`` says otherwise."""
    facts = {
        "protocol": "visual-tuning",
        "options": {"train.lr": 0.1, "train.epochs": 10},
        "shots": None,
        "draw_hash": f"draw {dataset} {seed} {more.get('share')}",
        "learner": LEARNERS.get(method, method.replace("-", "_")),
        "group": GROUP_OF.get(dataset),
        "n_parameters": NUMBERS.get(method, 1_000),
        "backbone_parameters": BACKBONE,
        "n_train": round(1000 * (more.get("share") or 1)),
        "share": None,
        "grid": None,
    }
    return {**record(method, dataset, accuracy, "all", seed=seed), "subset": "all", **facts, **more}


def grid(lr: float = 0.1, decay: float = 0.0, accuracy: float = 0.75) -> dict[str, Any]:
    """What keys ``grid`` and ``options`` say where the first of two points was chosen."""
    best, other = {"train.lr": lr, "train.weight_decay": decay}, {"train.lr": 10 * lr, "train.weight_decay": decay}
    points = [{"settings": best, "accuracy": accuracy}, {"settings": other, "accuracy": None}]
    chosen = {"chosen": best, "accuracy": accuracy, "seed": 1, "points": points}
    return {"grid": chosen, "options": {**best, "train.epochs": 10}}


def study(methods: tuple[str, ...] = ("full", "linear", "vpt-deep"), **more: Any) -> list[dict[str, Any]]:
    """All 24 sets with two seeds: linear loses everywhere, vpt-deep wins on the first two sets of a group."""
    accuracy = {"full": 0.70, "linear": 0.60}
    return [
        tuned(m, name, accuracy.get(m, 0.80 if place < 2 else 0.65) + seed / 100, seed, **more)
        for m in methods
        for names in SETS.values()
        for place, name in enumerate(names)
        for seed in (1, 2)
    ]

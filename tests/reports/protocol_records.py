"""Classification records as the protocols yield them, made by hand."""

from __future__ import annotations

from typing import Any

from clipprompt.datasets.classification.specifications import SPECIFICATIONS

VERSIONS = {"python": "3.12.0", "torch": "2.6.0"}


def record(
    method: str = "coop", dataset: str = "dtd", accuracy: float = 0.5, subset: str = "base", **more: Any
) -> dict[str, Any]:
    """One record; of base-to-novel, learnt from 16 shots of the base classes, unless ``more`` says otherwise."""
    learns = method != "zero_shot"
    seed = more.get("seed", 1) if learns else None
    split = more.get("class_split", 0)
    named = SPECIFICATIONS.get(dataset)
    facts = {
        "protocol": "base-to-novel",
        "method": method,
        "options": {"learner.n_ctx": 4, "train.epochs": 50, "train.seed": seed}
        if learns
        else {"learner.centre": False},
        "trained_on": dataset if learns else None,
        "shots": 16 if learns else None,
        "subset": "base",
        "class_split": 0,
        "seed": seed,
        "draw_hash": f"draw {more.get('trained_on', dataset)} {seed} {split}" if learns else None,
        "dataset": dataset,
        "part": "test",
        "tested_subset": subset,
        "split_source": (named and named.split_file) or "lists of its own",
        "split_sha256": (named and named.split_sha256) or "5" * 64,
        "split_hash": f"{dataset} {subset} {split}",
        "class_hash": f"classes of {dataset} {subset} {split}",
        "classnames": ["a", "b"],
        "n_images": 100,
        "n_skipped": 0,
        "accuracy": accuracy,
        "per_class_accuracy": [accuracy, accuracy],
        "selection": "last",
        "setting": "inductive",
        "training": None,
        "backbone": "ViT-B-16",
        "pretrained": "openai",
        "fingerprint": "f" * 16,
        "precision": "fp32",
        "device": "cpu",
        "transform": "224 px",
        "cached": True,
        "versions": VERSIONS,
        "train_seconds": 1.0,
        "test_seconds": 1.0,
        "peak_memory_bytes": 1,
    }
    return {**facts, **more}


def both(method: str, dataset: str, base: float, novel: float, **more: Any) -> list[dict[str, Any]]:
    """The two records of one base-to-novel run."""
    return [record(method, dataset, base, "base", **more), record(method, dataset, novel, "novel", **more)]

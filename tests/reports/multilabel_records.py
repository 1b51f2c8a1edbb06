"""Records of protocols whose pictures have several classes, made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tests.reports.protocol_records import VERSIONS

SHARES = tuple(tenth / 10 for tenth in range(1, 10))
OWN_SOURCE = {"zero_shot": "nothing", "tai_dpt": "captions"}
RN101 = {"backbone": "RN101", "transform": "Compose(\n    Resize(size=(448, 448), interpolation=bicubic)\n)"}


def record(
    method: str = "dualcoop",
    dataset: str = "voc2007",
    precision: float = 0.5,
    known: float | str | None = None,
    protocol: str = "partial-label",
    **more: Any,
) -> dict[str, Any]:
    """One record; classes have ``precision`` and ten percent more and less, unless ``more`` says otherwise."""
    members = method.split("+") if "+" in method else []
    source = more.get("learns_from", "both" if members else OWN_SOURCE.get(method, "images"))
    seed = None if source == "nothing" else more.pop("seed", 1)
    of_images, of_captions = source in ("images", "both"), source in ("captions", "both")
    drawn = f"draw {dataset} {seed} {known} {more.get('shots')}"
    f1 = {"CP": 0.5, "CR": 0.5, "CF1": 0.5, "OP": 0.4, "OR": 0.4, "OF1": 0.4}
    facts = {
        "protocol": protocol,
        "method": method,
        "options": {} if members else {"learner.n_ctx": 16} | ({"train.epochs": 50} if seed else {}),
        "trained_on": dataset if of_images else None,
        "shots": None,
        "subset": "all",
        "class_split": 0,
        "seed": seed,
        "draw_hash": drawn if of_images else None,
        "dataset": dataset,
        "part": "test",
        "tested_subset": "all",
        "split_hash": f"{dataset} pictures",
        "class_hash": f"classes of {dataset} {more.get('tested_subset', 'all')}",
        "classnames": ["cat", "dog", "sofa"],
        "n_images": 100,
        "n_skipped": 0,
        "mean_average_precision": precision,
        "average_precision": [0.9 * precision, 1.1 * precision, None],
        "n_positive": [20, 30, 0],
        "at_top3": f1,
        "threshold": 0.5,
        "at_threshold": f1,
        "probabilities": "sigmoid",
        "calibration_error": 0.1,
        "dataset_options": {},
        "learns_from": source,
        "corpus": "mini" if of_captions else None,
        "known": known if of_images else None,
        "branch": "ensemble" if members else "merged",
        "members": members,
        "weights": [1 / len(members) for _ in members],
        "weights_by": f"best mAP on {dataset}:train (30 pictures, 3 classes)" if members else None,
        "selection": "val_map on 10% held out of the training pictures" if of_images else "last",
        "setting": "inductive",
        "training": None,
        "backbone": "RN50",
        "pretrained": "openai",
        "fingerprint": "f" * 16,
        "precision": "fp32",
        "device": "cpu",
        "transform": "224 px",
        "cached": True,
        "versions": VERSIONS,
        "train_seconds": None if seed is None else 1.0,
        "test_seconds": 1.0,
        "peak_memory_bytes": 1,
    }
    return {**facts, **more, "seed": seed}


METHODS = ("zero_shot", "tai_dpt", "dualcoop", "dualcoop+tai_dpt")


def partial(
    methods: Sequence[str] = METHODS,
    datasets: Iterable[str] = ("voc2007",),
    seeds: Sequence[int] = (1, 2, 3),
    shares: Sequence[float | str | None] = SHARES,
    **more: Any,
) -> list[dict[str, Any]]:
    """A sweep of partial-label: mAP rises with the share of labels, and by a percent from seed to seed."""
    return [
        record(
            method, dataset, 0.6 + 0.05 * number + 0.01 * (seed or 0) + 0.05 * _share(known), known, seed=seed, **more
        )
        for dataset in datasets
        for number, method in enumerate(methods)
        for seed in _seeds(method, seeds)
        for known in _of_pictures(method, shares, more)
    ]


def few_shot(
    methods: Sequence[str] = METHODS, datasets: Iterable[str] = ("voc2007",), seeds: Sequence[int] = (1, 2), **more: Any
) -> list[dict[str, Any]]:
    """A sweep of few-shot-multilabel: mAP rises with shots."""
    more = {"protocol": "few-shot-multilabel", **more}
    return [
        record(
            method,
            dataset,
            0.6 + 0.03 * number + 0.01 * (seed or 0) + 0.01 * (shots or 8),
            seed=seed,
            shots=shots,
            **more,
        )
        for dataset in datasets
        for number, method in enumerate(methods)
        for seed in _seeds(method, seeds)
        for shots in _of_pictures(method, (1, 2, 4, 8, 16), more)
    ]


def zero_shot_splits(
    methods: Sequence[str] = ("zero_shot", "dualcoop"),
    dataset: str = "coco2014",
    seeds: Sequence[int] = (1, 2),
    **more: Any,
) -> list[dict[str, Any]]:
    """A sweep of multilabel-zero-shot: seen classes are learnt, unseen and all are tested."""
    more = {"protocol": "multilabel-zero-shot", "subset": "base", **more}
    return [
        record(
            method, dataset, 0.5 + 0.05 * number + 0.01 * (seed or 0) + lead, tested_subset=tested, seed=seed, **more
        )
        for number, method in enumerate(methods)
        for seed in _seeds(method, seeds)
        for tested, lead in (("novel", 0.0), ("all", 0.1))
    ]


def _seeds(method: str, seeds: Sequence[int]) -> Sequence[int | None]:
    return (None,) if method == "zero_shot" else seeds


def _of_pictures(method: str, amounts: Sequence[Any], more: dict[str, Any]) -> Sequence[Any]:
    return (None,) if method in OWN_SOURCE and "learns_from" not in more else amounts


def _share(known: float | str | None) -> float:
    return known if isinstance(known, float) else 0.0

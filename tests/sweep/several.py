"""A small multi-label world: a table of pictures in parts, captions of the same classes, and requests for runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from clipprompt.sweep.request import Request
from tests.sweep.conftest import CLASSES
from tests.training._worker import write_corpus

QUICK = {"n_ctx": 2, "epochs": 2, "batch_size": 8, "val_fraction": 0.3, "data.templates": "false"}


def write_several(world: Path) -> Path:
    """``several.csv`` over the pictures of ``photos``, with one to four classes each, and ``captions.parquet``."""
    draw = np.random.default_rng(0)
    lines = ["path,split,labels"]
    for number in range(10):
        for name in CLASSES:
            labels = "|".join(one for one in CLASSES if one == name or draw.random() < 0.3)
            lines.append(f"photos/{name}/{number}.jpg,{'test' if number % 3 == 2 else 'train'},{labels}")
    (world / "several.csv").write_text("\n".join(lines))
    labels = [[number % 4] if number % 3 else [number % 4, (number + 1) % 4] for number in range(24)]
    captions = [" and ".join(f"a {CLASSES[one].replace('_', ' ')}" for one in found) for found in labels]
    write_corpus(world / "captions.parquet", captions, [sorted(found) for found in labels], CLASSES)
    return world / "several.csv"


def settings(world: Path, *methods: str) -> list[str]:
    """``key=value`` of runs that take a moment."""
    own = [f"{method}:{key}={value}" for method in methods for key, value in QUICK.items()]
    own += [f"{method}:data.augment=null" for method in methods if method != "tai_dpt"]
    return [f"backbone.name={json.dumps(str(world / 'tiny'))}", "backbone.image_size=null", *own]


def request_several(world: Path, *methods: str, **changes: Any) -> Request:
    """A request for the protocol of partial labels."""
    learners = dict.fromkeys(one for method in methods for one in method.split("+") if one != "zero_shot")
    given = (*settings(world, *learners), *changes.pop("settings", ()))
    asked: dict[str, Any] = {"protocol": "partial-label", "seeds": (1,), "known": (0.5,), **changes}
    if any(learner in ("tai_dpt", "tai_dpt:both") for learner in learners):
        asked.setdefault("captions", str(world / "captions.parquet"))
    return Request(methods=methods, datasets=(str(world / "several.csv"),), settings=given, **asked)

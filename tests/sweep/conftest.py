"""A small world: two folders of photos and a tiny transformer CLIP, so that a run takes a fraction of a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from clipprompt.evaluation.records import read_records
from clipprompt.sweep.plan import plan_tasks
from clipprompt.sweep.request import Request
from clipprompt.sweep.task import Task
from tests.training._worker import write_backbone, write_photos

CLASSES = ("cat", "dog", "red_bus", "tree")
VARIES = ("train_seconds", "test_seconds", "peak_memory_bytes", "cached")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``photos`` and ``other``, each four classes of ten pictures, and the backbone ``tiny``."""
    folder = tmp_path_factory.mktemp("world")
    for name in ("photos", "other"):
        write_photos(folder / name, CLASSES, n_images=10)
    write_backbone(folder / "tiny", "vit")
    return folder


@pytest.fixture
def request_for(world: Path) -> Callable[..., Request]:
    """Makes requests for runs of one epoch on the small world."""

    def make(**changes: Any) -> Request:
        changes = {"protocol": "base-to-novel", "methods": ("coop",), "datasets": ("photos",), **changes}
        changes["datasets"] = tuple(str(world / name) for name in changes["datasets"])
        changes.setdefault("seeds", (1,))
        changes.setdefault("shots", (2,))
        own = [f"backbone.name={json.dumps(str(world / 'tiny'))}", "coop:n_ctx=2", "coop:train.epochs=1"]
        named = [setting for setting in own if setting.partition(":")[0] in (*changes["methods"], setting)]
        return Request(**{**changes, "settings": (*named, *changes.get("settings", ()))})

    return make


@pytest.fixture
def tasks_for(request_for: Callable[..., Request], tmp_path: Path) -> Callable[..., list[Task]]:
    """The tasks of such a request, in a folder ``sweep``."""

    def make(**changes: Any) -> list[Task]:
        return plan_tasks(request_for(**changes), tmp_path / "sweep", run_settings=["backbone.device=cpu"])

    return make


def numbers(folder: Path) -> list[dict[str, Any]]:
    """All records below a folder, in order of their files, without what differs from time to time."""
    files = sorted(folder.rglob("results.jsonl"))
    records = [record for path in files for record in read_records(path)]
    return [{key: value for key, value in record.items() if key not in VARIES} for record in records]

"""The multi-label protocol: mAP and per-class AP of several learners over one labelled image set."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING, TypedDict

from clipprompt.datasets import MultiLabelImages
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.metrics import AveragePrecision, average_precision
from clipprompt.evaluation.scoring import BRANCHES, score_images

if TYPE_CHECKING:
    from clipprompt.learners import Learner

# The names of TaI-DPT's Table 1.
_TITLES = {
    ("zero_shot", "global"): "zero-shot CLIP",
    ("zero_shot", "merged"): "zero-shot CLIP + local",
    ("tai_dpt", "global"): "TaI",
    ("tai_dpt", "merged"): "TaI-DPT",
}
_LIBRARIES = ("clipprompt", "torch", "open-clip-torch", "timm", "torchvision", "torchmetrics", "numpy", "pillow")


@dataclass(frozen=True)
class Row:
    """A learner in a table.

    Attributes:
        learner: with the class names of the set.
        variant: what tells it from the plain method, such as ``centred``; it follows the title behind a comma.
        control: whether it is a control of ours, which has no published number.
        seed: of its training; None where nothing is random.
        source: the folder of the prompts; None where there is none.
    """

    learner: Learner
    variant: str = ""
    control: bool = False
    seed: int | None = None
    source: str | None = None


class Pass(TypedDict):
    """What all records of one pass over a set have in common."""

    protocol: str
    dataset: str
    n_images: int
    split_hash: str
    class_hash: str
    classnames: list[str]
    backbone: str
    pretrained: str | None
    fingerprint: str
    precision: str
    device: str
    versions: dict[str, str]
    seconds: float


class MultiLabelRecord(Pass):
    """One line of ``results.jsonl``. Metrics are in 0..1; ``average_precision`` is in the order of ``classnames``."""

    row: str
    method: str
    branch: str
    variant: str
    control: bool
    seed: int | None
    source: str | None
    mean_average_precision: float
    average_precision: list[float | None]


def evaluate_multilabel(
    rows: Sequence[Row],
    dataset: MultiLabelImages,
    *,
    branches: Sequence[str] = ("global", "merged"),
    batch_size: int = 64,
    workers: int = 0,
) -> Iterator[MultiLabelRecord]:
    """Yields one record per row and branch, all from one pass over the images.

    Nothing is selected by these labels: the numbers are those of the learners as they are given.

    Args:
        rows: learners of one backbone.
        dataset: the labelled images.
        branches: which of global, local, merged; of a learner without a local branch, global alone.
        batch_size: see :func:`score_images`.
        workers: see :func:`score_images`.

    Raises:
        UserError: as :func:`score_images`, and for an unknown branch.
    """
    check_branches(branches)
    start = time.perf_counter()
    keyed = {f"row {index + 1}, {_title(row, 'merged')}": row for index, row in enumerate(rows)}
    learners = {key: row.learner for key, row in keyed.items()}
    scored = score_images(learners, dataset, batch_size=batch_size, workers=workers)
    common = _describe_pass(rows[0].learner, scored.dataset, time.perf_counter() - start)
    for key, row in keyed.items():
        for branch in branches:
            if branch in scored.by_key[key]:
                scores = scored.by_key[key][branch]
                yield _record(row, branch, average_precision(scores, scored.dataset.targets), common)


def check_branches(branches: Sequence[str]) -> None:
    """Checks the names of branches.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    for branch in branches:
        if branch not in BRANCHES:
            raise UserError(f"unknown branch {branch!r}{nearest(branch, BRANCHES)}; choose among {', '.join(BRANCHES)}")


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a number."""
    return {"python": python_version()} | {name: version(name) for name in _LIBRARIES}


def _title(row: Row, branch: str) -> str:
    title = _TITLES.get((row.learner.name, branch), f"{row.learner.name} ({branch})")
    return f"{title}, {row.variant}" if row.variant else title


def _record(row: Row, branch: str, result: AveragePrecision, common: Pass) -> MultiLabelRecord:
    return {
        **common,
        "row": _title(row, branch),
        "method": row.learner.name,
        "branch": branch,
        "variant": row.variant,
        "control": row.control,
        "seed": row.seed,
        "source": row.source,
        "mean_average_precision": result.mean,
        "average_precision": list(result.per_class),
    }


def _describe_pass(learner: Learner, dataset: MultiLabelImages, seconds: float) -> Pass:
    backbone = learner.backbone
    return {
        "protocol": "multilabel",
        "dataset": dataset.name,
        "n_images": len(dataset),
        "split_hash": dataset.split_hash(),
        "class_hash": dataset.class_hash(),
        "classnames": list(dataset.classnames),
        "backbone": backbone.name,
        "pretrained": backbone.pretrained,
        "fingerprint": backbone.fingerprint(),
        "precision": backbone.precision,
        "device": str(backbone.device),
        "versions": library_versions(),
        "seconds": round(seconds, 3),
    }

"""The multi-label protocol: mAP, per-class AP, F1 and calibration of several learners over one labelled image set."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from clipprompt.datasets import MultiLabelImages, open_image
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.calibrated import calibrated_probabilities
from clipprompt.evaluation.evaluate import Evaluated, evaluate_scores
from clipprompt.evaluation.measures import THRESHOLD
from clipprompt.evaluation.provenance import Pass, Training, describe_pass
from clipprompt.evaluation.scores import Scores
from clipprompt.evaluation.scoring import BRANCHES, is_cacheable, score_images

if TYPE_CHECKING:
    from clipprompt.learners import Learner

# The names of TaI-DPT's Table 1, which has no row of the local branch alone.
_TITLES = {
    ("zero_shot", "global"): "zero-shot CLIP",
    ("zero_shot", "local"): "zero-shot CLIP (local)",
    ("zero_shot", "merged"): "zero-shot CLIP + local",
    ("tai_dpt", "global"): "TaI",
    ("tai_dpt", "local"): "TaI-DPT (local)",
    ("tai_dpt", "merged"): "TaI-DPT",
}


@dataclass(frozen=True)
class Row:
    """A learner in a table.

    Attributes:
        learner: with the class names of the set.
        variant: what tells it from the plain method, such as ``centred``; it follows the title behind a comma.
        control: whether it is a control of ours, which has no published number.
        seed: of its training; None where nothing is random.
        source: the folder of the prompts; None where there is none.
        training: how they were learnt, where their folder says so.
    """

    learner: Learner
    variant: str = ""
    control: bool = False
    seed: int | None = None
    source: str | None = None
    training: Training | None = None


class RowFacts(TypedDict):
    """What a record says of its row."""

    method: str
    variant: str
    control: bool
    seed: int | None
    source: str | None
    training: Training | None


class MultiLabelRecord(Pass, RowFacts, Evaluated):
    """One line of ``results.jsonl``. Metrics are in 0..1; lists are in the order of ``classnames``."""

    row: str


@dataclass(frozen=True)
class ScoredRows:
    """The scores of one pass.

    Attributes:
        rows: the rows, in order.
        scores: those of each row.
        facts: what all of them have in common.
        skipped: ids of the images that could not be read, each with the reason.
    """

    rows: tuple[Row, ...]
    scores: tuple[Scores, ...]
    facts: Pass
    skipped: tuple[tuple[str, str], ...]


def evaluate_multilabel(
    rows: Sequence[Row],
    dataset: MultiLabelImages,
    *,
    branches: Sequence[str] | None = None,
    batch_size: int = 64,
    workers: int = 4,
) -> Iterator[MultiLabelRecord]:
    """Yields one record per row and branch, all from one pass over the images.

    Nothing is selected by these labels: the numbers are those of the learners as they are given.

    Args:
        rows: learners of one backbone.
        dataset: the labelled images.
        branches: as of :func:`measure_rows`.
        batch_size: see :func:`score_images`.
        workers: see :func:`score_images`.

    Raises:
        UserError: as :func:`score_images`, and for an unknown branch.
    """
    check_branches(branches or ())
    yield from measure_rows(score_rows(rows, dataset, batch_size=batch_size, workers=workers), branches)


def score_rows(
    rows: Sequence[Row],
    dataset: MultiLabelImages,
    *,
    batch_size: int = 64,
    workers: int = 4,
    cache: Path | None = None,
    draft: bool = False,
) -> ScoredRows:
    """Scores the images with every row, in one pass; rows with a calibration get probabilities as well.

    Args:
        rows: learners of one backbone.
        dataset: the labelled images.
        batch_size: see :func:`score_images`.
        workers: see :func:`score_images`.
        cache: see :func:`score_images`.
        draft: see :func:`score_images`.

    Raises:
        UserError: as :func:`score_images`.
    """
    how: dict[str, Any] = {"batch_size": batch_size, "workers": workers, "cache": cache, "draft": draft}
    start = time.perf_counter()
    keyed = {f"row {place}, {title(row.learner.name, 'merged', row.variant)}": row for place, row in enumerate(rows, 1)}
    found = score_images({key: row.learner for key, row in keyed.items()}, dataset, **how)
    seen = found.dataset
    facts = describe_pass(
        rows[0].learner.backbone,
        seen,
        n_skipped=len(found.skipped),
        seconds=time.perf_counter() - start,
        draft=draft and dataset.open_item is open_image,
        cached=cache is not None and is_cacheable((row.learner for row in rows), dataset),
    )
    scores = []
    for key, row in keyed.items():
        header = {**facts, **_facts(row), "scores": "logits"}
        probabilities = calibrated_probabilities(row.learner, row.source, found.by_key[key], seen, **how)
        scores.append(Scores(found.by_key[key], seen.targets, seen.classnames, seen.ids, header, probabilities))
    return ScoredRows(tuple(rows), tuple(scores), facts, found.skipped)


def measure_rows(
    scored: ScoredRows,
    branches: Sequence[str] | None = None,
    *,
    how: str = "none",
    threshold: float = THRESHOLD,
) -> Iterator[MultiLabelRecord]:
    """Yields one record per row and branch.

    Args:
        scored: of :func:`score_rows`.
        branches: which of global, local, merged; a row yields those it has. None: global, and merged, or local for a
            learner that answers with it.
        how: the normalisation of the scores.
        threshold: on probabilities, for F1.

    Raises:
        UserError: if no row has one of the branches, no class has a positive, or as :func:`evaluate_scores`.
    """
    if branches and not any(branch in scores.by_branch for scores in scored.scores for branch in branches):
        raise UserError(f"no row has a branch {' or '.join(branches)}; all have global")
    for row, scores, branch in measured(scored, branches):
        numbers = evaluate_scores([scores], branch=branch, how=how, threshold=threshold)
        name = title(row.learner.name, branch, row.variant)
        yield MultiLabelRecord(**scored.facts, row=name, **_facts(row), **numbers)


def measured(scored: ScoredRows, branches: Sequence[str] | None = None) -> Iterator[tuple[Row, Scores, str]]:
    """The rows with the branches that :func:`measure_rows` measures, in its order."""
    for row, scores in zip(scored.rows, scored.scores, strict=True):
        for branch in branches or ("global", "local" if row.learner.branch == "local" else "merged"):
            if branch in scores.by_branch:
                yield row, scores, branch


def check_branches(branches: Sequence[str]) -> None:
    """Checks the names of branches.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    for branch in branches:
        if branch not in BRANCHES:
            raise UserError(f"unknown branch {branch!r}{nearest(branch, BRANCHES)}; choose among {', '.join(BRANCHES)}")


def title(method: str, branch: str, variant: str = "") -> str:
    """What tables call a row."""
    name = _TITLES.get((method, branch), f"{method} ({branch})")
    return f"{name}, {variant}" if variant else name


def _facts(row: Row) -> RowFacts:
    return {
        "method": row.learner.name,
        "variant": row.variant,
        "control": row.control,
        "seed": row.seed,
        "source": row.source,
        "training": row.training,
    }

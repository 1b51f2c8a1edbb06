"""Prompts of several folders as an ensemble: each with its own backbone, scored in one pass for each backbone."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from clipprompt.datasets import MultiLabelImages
from clipprompt.evaluation.combine import check_same_set
from clipprompt.evaluation.ensembles.weights import GIVEN, Ensemble, fit_ensemble
from clipprompt.evaluation.evaluate import Evaluated
from clipprompt.evaluation.measures import THRESHOLD, measure
from clipprompt.evaluation.metrics import ScoreMatrix
from clipprompt.evaluation.multilabel import MultiLabelRecord, Row, RowFacts, ScoredRows, measure_rows, score_rows
from clipprompt.evaluation.provenance import Pass
from clipprompt.evaluation.scores import ENSEMBLE, Scores
from clipprompt.evaluation.scoring import score_images
from clipprompt.learners import load_recorded_backbone, read_description, with_classes

T = TypeVar("T")

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone
    from clipprompt.evaluation.ensembles.pictures import Validation
    from clipprompt.features.image_rows import ImageRows


class Members(TypedDict):
    """What a record of an ensemble says of its members.

    Attributes:
        members: their methods.
        sources: their folders.
        weights: add up to 1.
        weights_by: how they were chosen, in words.
    """

    members: list[str]
    sources: list[str | None]
    weights: list[float]
    weights_by: str


class EnsembleRecord(MultiLabelRecord, Members):
    """A record of an ensemble. Its backbone, and what belongs to it, are those of all members, with a plus between."""


def recorded_backbones(device: str = "auto", precision: str | None = None) -> Callable[[Path], Backbone]:
    """What loads the backbone that a prompt was learnt on; prompts of one backbone get one."""
    loaded: dict[str, Backbone] = {}

    def load(folder: Path) -> Backbone:
        recorded = read_description(folder)["backbone"]
        key = json.dumps(recorded, sort_keys=True)
        if key not in loaded:
            loaded[key] = load_recorded_backbone(recorded, device, precision)
        return loaded[key]

    return load


def fit_members(
    rows: Sequence[Row],
    validation: Validation,
    weights: Sequence[float] | None = None,
    *,
    or_equal: bool = False,
    kept: Sequence[ImageRows | None] = (),
    tell: Callable[[str], None] = lambda _: None,
    **how: Any,
) -> Ensemble:
    """Scores the validation pictures with every member, and makes of them an ensemble.

    Args:
        rows: the members.
        validation: pictures, and the classes that weights are chosen by.
        weights: that are given; None chooses them.
        or_equal: see :func:`clipprompt.evaluation.ensembles.weights.fit_ensemble`.
        kept: for each member, features of the validation pictures; none, or None for one of them, encodes these.
        tell: takes a line for each picture that could not be read and was left out.
        how: arguments of :func:`clipprompt.evaluation.scoring.score_images`.

    Raises:
        UserError: as these functions, and if a picture can be read for one member alone.
    """
    names = validation.images.classnames
    learners = [row.learner if row.learner.classnames == names else with_classes(row.learner, names) for row in rows]
    found: dict[int, Scores] = {}
    entries = kept or [None] * len(rows)
    for places in _alike([(id(row.learner.backbone), id(entry)) for row, entry in zip(rows, entries, strict=True)]):
        some = {place: learners[place] for place in places}
        scored = score_images(some, validation.images, kept=entries[places[0]], own_branch=True, **how)
        for _, reason in () if found else scored.skipped:  # those that the others cannot read either
            tell(reason)
        seen = scored.dataset
        for place in places:
            found[place] = Scores(scored.by_key[place], seen.targets, seen.classnames, seen.ids)
    scores = [found[place] for place in range(len(rows))]
    check_same_set([(str(row.source), one) for row, one in zip(rows, scores, strict=True)])
    matrices = [one.by_branch[row.learner.branch] for row, one in zip(rows, scores, strict=True)]
    return fit_ensemble(matrices, scores[0].targets, validation.where, weights=weights, or_equal=or_equal)


def score_members(rows: Sequence[Row], dataset: MultiLabelImages, **how: Any) -> list[ScoredRows]:
    """Scores a set with every member.

    Args:
        rows: the members, with the classes of the set.
        dataset: the labelled images.
        how: arguments of :func:`clipprompt.evaluation.multilabel.score_rows`.

    Returns:
        One for each member, in their order.

    Raises:
        UserError: as ``score_rows``, and if a picture can be read for one member alone.
    """
    found: dict[int, ScoredRows] = {}
    for places in _alike([id(row.learner.backbone) for row in rows]):
        scored = score_rows([rows[place] for place in places], dataset, **how)
        for place, row, scores in zip(places, scored.rows, scored.scores, strict=True):
            found[place] = replace(scored, rows=(row,), scores=(scores,))
    members = [found[place] for place in range(len(rows))]
    check_same_set([(str(one.rows[0].source), one.scores[0]) for one in members])
    return members


def measure_members(members: Sequence[ScoredRows], threshold: float = THRESHOLD) -> Iterator[MultiLabelRecord]:
    """Yields a record for each member, of the branch that it answers with.

    Args:
        members: of :func:`score_members`.
        threshold: on probabilities, for F1.

    Raises:
        UserError: if no class has a positive.
    """
    for one in members:
        yield from measure_rows(one, [one.rows[0].learner.branch], threshold=threshold)


def measure_ensemble(
    ensemble: Ensemble, members: Sequence[ScoredRows], threshold: float = THRESHOLD
) -> tuple[EnsembleRecord, Scores]:
    """The record of an ensemble, and its scores for a scores file.

    Args:
        ensemble: of these members.
        members: of :func:`score_members`.
        threshold: that the record states; scores of an ensemble are no probabilities.

    Raises:
        UserError: if no class has a positive.
    """
    matrix, first = ensemble.combine([_own_scores(one) for one in members]), members[0].scores[0]
    about: Members = {
        "members": [one.rows[0].learner.name for one in members],
        "sources": [one.rows[0].source for one in members],
        "weights": list(ensemble.weights),
        "weights_by": ensemble.weights_by,
    }
    row: RowFacts = {
        "method": "+".join(about["members"]),
        "variant": "",
        "control": False,
        "seed": _agreed([one.rows[0].seed for one in members]),
        "source": None,
        "training": None,
    }
    facts = _common_facts([one.facts for one in members])
    numbers: Evaluated = {
        **measure(matrix, first.targets, None, threshold),
        "branch": "ensemble",
        "merge": None,
        "normalise": "none",
        "transductive": ensemble.is_transductive,
    }
    record = EnsembleRecord(**facts, **row, **numbers, **about, row=_name(ensemble, members))
    header = {**facts, **row, **about, "scores": ENSEMBLE, "transductive": ensemble.is_transductive}
    return record, Scores({"merged": matrix}, first.targets, first.classnames, first.ids, header)


def _name(ensemble: Ensemble, members: Sequence[ScoredRows]) -> str:
    """Weights that were chosen differ between seeds, which are runs of one row; given ones do not."""
    names = [row.variant or row.learner.name for one in members for row in one.rows]
    given = ensemble.weights_by == GIVEN
    parts = (f"{weight:.3g} {name}" if given else name for weight, name in zip(ensemble.weights, names, strict=True))
    return f"ensemble: {' + '.join(parts)}"


def _own_scores(member: ScoredRows) -> ScoreMatrix:
    """Those of the branch that the learner answers with alone."""
    return member.scores[0].by_branch[member.rows[0].learner.branch]


def _alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """Places of the rows that share a backbone, or what else a key tells."""
    groups: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _common_facts(every: Sequence[Pass]) -> Pass:
    """What one pass for each backbone came to."""
    passes = list({id(facts): facts for facts in every}.values())
    return {
        **passes[0],
        "backbone": _joined([facts["backbone"] for facts in passes]),
        "pretrained": _agreed([facts["pretrained"] for facts in passes]),
        "fingerprint": _joined([facts["fingerprint"] for facts in passes]),
        "precision": _joined([facts["precision"] for facts in passes]),
        "cached": any(facts["cached"] for facts in passes),
        "seconds": round(sum(facts["seconds"] for facts in passes), 3),
    }


def _joined(values: Sequence[str]) -> str:
    return "+".join(dict.fromkeys(values))


def _agreed(values: Sequence[T]) -> T | None:
    return values[0] if all(value == values[0] for value in values) else None

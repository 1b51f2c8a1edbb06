"""An ensemble on the tests of its job: the members' scores, combined as validation pictures have chosen, and measured.

members' prompts ──score_tested──> scores of each ──Ensemble.combine──> measures ──> record
members' records ──────────────────────── what was learnt, and how ────────────────────┘
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from clipprompt.errors import UserError
from clipprompt.evaluation.ensembles.weights import Ensemble
from clipprompt.evaluation.job_tests.multilabel import load_tested, score_tested
from clipprompt.evaluation.job_tests.multilabel_records import MultiLabelTestRecord
from clipprompt.evaluation.job_tests.one_pass import IN_MEMORY, Evaluation
from clipprompt.evaluation.measures import Measures, measure
from clipprompt.evaluation.protocols.jobs import Job, Test
from clipprompt.evaluation.protocols.one_class_sets import folder_name
from clipprompt.learners import Learner

T = TypeVar("T")
Records = Sequence[MultiLabelTestRecord]


def evaluate_ensemble_tests(
    job: Job,
    members: Mapping[str, Learner],
    records: Mapping[str, Records],
    ensemble: Ensemble,
    how: Evaluation = IN_MEMORY,
) -> Iterator[MultiLabelTestRecord]:
    """Yields one record for each test of an ensemble.

    Args:
        job: of the ensemble.
        members: learners of one backbone, by the names of their jobs, in the order of the ensemble.
        records: of the same jobs, on these tests and maybe others.
        ensemble: weights and scales of the members.
        how: where data and features are. No predictions are written.

    Raises:
        UserError: as :func:`clipprompt.evaluation.job_tests.multilabel.score_tested`, or if a member was tested on
            other pictures.
    """
    for test in job.tests:
        start = time.perf_counter()
        theirs = [_on(test, name, records[name]) for name in members]
        scored, _ = score_tested(members, load_tested(job, test, how.root), how)
        for name, record in zip(members, theirs, strict=True):
            if record["split_hash"] != scored.dataset.split_hash():
                raise UserError(f"{name} was tested on other pictures of {test.dataset}; remove its folder")
        matrix = ensemble.combine([scored.by_key[name][learner.branch] for name, learner in members.items()])
        numbers = measure(matrix, scored.dataset.targets, None)
        yield ensemble_record(job, theirs, numbers, ensemble, time.perf_counter() - start)


def ensemble_record(
    job: Job, members: Records, numbers: Measures, ensemble: Ensemble, seconds: float
) -> MultiLabelTestRecord:
    """The record of an ensemble on one test.

    Args:
        job: of the ensemble.
        members: their records on that test.
        numbers: of the combined scores.
        ensemble: how they were combined.
        seconds: that the test took.
    """
    spellings = job.method.split("+")
    of_pictures = [record for record in members if record["trained_on"] is not None]
    first = of_pictures[0] if of_pictures else members[0]
    options = {
        f"{spelling}: {key}": value
        for spelling, record in zip(spellings, members, strict=True)
        for key, value in record["options"].items()
    }
    taken = [record["train_seconds"] for record in members if record["train_seconds"] is not None]
    own: MultiLabelTestRecord = {
        **first,
        **numbers,
        "method": job.method,
        "options": options,
        "shots": job.shots,
        "subset": job.subset,
        "seed": job.seed,
        "known": job.known,
        "selection": "; ".join(dict.fromkeys(record["selection"] for record in members)),
        "setting": "transductive" if ensemble.is_transductive else "inductive",
        "learns_from": job.learns_from,
        "corpus": next((record["corpus"] for record in members if record["corpus"] is not None), None),
        "branch": "ensemble",
        "members": spellings,
        "weights": list(ensemble.weights),
        "weights_by": ensemble.weights_by,
        "cached": any(record["cached"] for record in members),
        "train_seconds": round(sum(taken), 3) if taken else None,
        "test_seconds": round(seconds, 3),
        "peak_memory_bytes": max(record["peak_memory_bytes"] for record in members),
    }
    return own


def _on(test: Test, name: str, records: Records) -> MultiLabelTestRecord:
    """A member's record on a test."""
    wanted = (folder_name(test.dataset), test.part, test.subset)
    for record in records:
        if (record["dataset"], record["part"], record["tested_subset"]) == wanted:
            return record
    raise UserError(f"{name} was not tested on {test.subset} classes of {test.dataset}; run its job again")

"""One line of a protocol's ``results.jsonl``: one learner on one test set whose pictures have one class each."""

from __future__ import annotations

from clipprompt.evaluation.job_tests.records import ProtocolRecord


class ClassificationRecord(ProtocolRecord):
    """One evaluation. Accuracies are in 0..1; lists are in the order of ``classnames``.

    Attributes:
        split_source: which files told the parts of the tested set.
        split_sha256: of its split file, where there is one.
        accuracy: share of pictures whose class has the highest score.
        per_class_accuracy: None for a class without a picture.
    """

    split_source: str
    split_sha256: str | None
    accuracy: float
    per_class_accuracy: list[float | None]

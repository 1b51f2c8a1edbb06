"""One line of the ``results.jsonl`` of a protocol whose pictures have several classes: one learner, or an ensemble."""

from __future__ import annotations

from clipprompt.evaluation.job_tests.records import ProtocolRecord
from clipprompt.evaluation.measures import Measures


class MultiLabelTestRecord(ProtocolRecord, Measures):
    """One evaluation. Metrics are in 0..1; lists are in the order of ``classnames``.

    Attributes:
        dataset_options: what was chosen while reading the tested set: its official split, whether it has the official
            size, what difficult objects are, whether pictures without a tested class were left out.
        learns_from: images, captions, both, or nothing.
        corpus: whose captions were learnt from; None where none were.
        known: labels that were known in training: a share, or ``single-positive``; None for all.
        branch: of the scores: global, local or merged; of an ensemble, ``ensemble``.
        members: methods of an ensemble; none of a learner alone.
        weights: of the members, which add up to 1; none of a learner alone.
        weights_by: how they were chosen, in words; None of a learner alone.
    """

    dataset_options: dict[str, str]
    learns_from: str
    corpus: str | None
    known: float | str | None
    branch: str
    members: list[str]
    weights: list[float]
    weights_by: str | None

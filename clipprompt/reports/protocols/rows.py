"""What a table of a protocol holds: numbers over runs, rows of methods, and the rows that compare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import stdev

from clipprompt.reports.protocols.columns import DERIVED
from clipprompt.reports.protocols.comparable import Run
from clipprompt.reports.protocols.settings import Record

Place = tuple[str | None, str]
"""A data set, or None for the average, and a column."""


@dataclass(frozen=True)
class Number:
    """A number over the runs of a row, in percent.

    Attributes:
        mean: over the runs; of a harmonic mean, the harmonic mean of the two means.
        values: of each run, by (class split, seed); of an average, for the runs that all its sets have.
    """

    mean: float
    values: Mapping[Run, float] = field(default_factory=dict)

    @property
    def std(self) -> float | None:
        """Sample standard deviation of the runs' own values; None for fewer than two runs."""
        return stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def n_runs(self) -> int:
        """How many runs there are."""
        return len(self.values)


@dataclass(frozen=True)
class MethodRow:
    """A method with one choice of settings.

    Attributes:
        method: name of the learner.
        label: the same, with the settings that tell it from the table's other rows of this method: ``coop, n_ctx=16``.
        setting: transductive if all records are; one that is so in some columns alone is inductive, and a note says so.
        learns: whether anything was learnt.
        is_control: whether the prompts were left as they start, so that no paper's number answers to it.
        numbers: by (data set, column); the data set None is the average.
        records: of all its runs and data sets.
    """

    method: str
    label: str
    setting: str
    learns: bool
    is_control: bool
    numbers: Mapping[Place, Number]
    records: tuple[Record, ...]


@dataclass(frozen=True)
class ProtocolTable:
    """Rows that compare.

    Attributes:
        protocol: of ``PROTOCOLS``.
        backbone: architecture.
        pretrained: weights tag.
        fingerprint: of the weights.
        precision: of the towers.
        transform: what the backbone does to a picture.
        part: of the data sets: test, or val where settings were being chosen.
        source: the set that was learnt from, in cross-dataset and domain; None elsewhere.
        datasets: in the order of the papers; the source first.
        averaged: those that all rows have, without the source.
        columns: ``base``, ``novel`` and ``hm``; or numbers of shots, or percent of labels known (``0`` where no picture
            was learnt from, ``all``); or ``accuracy``; or ``unseen mAP`` and its like (see ``columns.py``).
        rows: in the order of publication.
        notes: sentences that a reader must know.
        records: that went in.
    """

    protocol: str
    backbone: str
    pretrained: str | None
    fingerprint: str
    precision: str
    transform: str
    part: str
    source: str | None
    datasets: tuple[str, ...]
    averaged: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[MethodRow, ...]
    notes: tuple[str, ...]
    records: tuple[Record, ...]

    @property
    def measured(self) -> tuple[str, ...]:
        """The columns that come from records: all but harmonic means and averages over shares."""
        return tuple(column for column in self.columns if column not in DERIVED)


def picture_size(table: ProtocolTable) -> int | None:
    """Pixels of a side that the backbone saw: the first number of its transform; None where it tells none."""
    found = re.search(r"\d+", table.transform)
    return int(found[0]) if found else None

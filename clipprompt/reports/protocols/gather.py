"""From sweeps, run folders and files to records: only what is there is read, and what is not finished is counted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipprompt.errors import UserError
from clipprompt.evaluation.records import numbered_records
from clipprompt.printable import to_json
from clipprompt.reports.mistakes.predictions import PREDICTIONS, Prediction, read_predictions
from clipprompt.reports.protocols._validation import check_multilabel, check_record
from clipprompt.reports.protocols.columns import MULTILABEL
from clipprompt.reports.protocols.reproduce import SWEEP

if TYPE_CHECKING:
    from clipprompt.reports.protocols.rows import ProtocolTable

RESULTS = "results.jsonl"
POINT = "validation.jsonl"
"""In the folder of a run that only tried settings, and is reported by those that took the best of them."""
_BEGUN = ("config.yaml", "job.json", ".job.lock")
"""Files of a run folder that are there before its results."""


@dataclass
class Gathered:
    """What was found.

    Attributes:
        records: of protocols.
        sources: for each of them, its file and line.
        multilabel: records of ``eval multilabel``, each once.
        n_runs: how many folders of runs have results.
        unfinished: folders of runs that have none.
        predictions: files of predictions, each with a record of the same run.
        sweeps: files that say what a sweep was asked for.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    multilabel: list[dict[str, Any]] = field(default_factory=list)
    n_runs: int = 0
    unfinished: list[Path] = field(default_factory=list)
    predictions: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)
    sweeps: list[Path] = field(default_factory=list)

    def read_predictions(self, tables: Sequence[ProtocolTable]) -> Iterator[Prediction]:
        """What learners said of single pictures, rows in their order; of runs that are there twice, once.

        Args:
            tables: made of ``records``; a learner is called as its row.

        Raises:
            UserError: for a file that holds anything else.
        """
        labels: dict[int, str] = {}
        for table in tables:
            of_several = f" ({table.protocol}, {table.backbone})" if len(tables) > 1 else ""
            labels |= {id(record): row.label + of_several for row in table.rows for record in row.records}
        order = {label: place for place, label in enumerate(dict.fromkeys(labels.values()))}
        known = [(path, labels[id(record)]) for path, record in self.predictions if id(record) in labels]
        for path, label in sorted(known, key=lambda pair: order[pair[1]]):
            yield from read_predictions(path, label)


def gather_records(paths: Sequence[str | Path]) -> Gathered:
    """Reads sweeps, run folders and files of records; a file that is reached twice is read once.

    Args:
        paths: folders, searched for ``results.jsonl``, and files of JSON lines.

    Raises:
        UserError: if there is no such path, a file holds what is no record, or there is no record at all.
    """
    found = Gathered()
    for path in _files(map(Path, paths), found):
        _read(path, found)
    found.multilabel = list({to_json(record): record for record in found.multilabel}.values())
    if not found.records and not found.multilabel:
        raise UserError(f"nothing to report in {', '.join(map(str, paths))}: {_why_empty(len(found.unfinished))}")
    return found


def _why_empty(n_unfinished: int) -> str:
    if n_unfinished < 2:
        return "the only run there is not finished" if n_unfinished else f"no {RESULTS}"
    return f"none of the {n_unfinished} runs there is finished"


def _files(paths: Iterable[Path], found: Gathered) -> Iterator[Path]:
    seen = set[Path]()
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist; give folders of sweeps or runs, or {RESULTS} files")
        for file in _walk(path, found, seen) if path.is_dir() else [path]:
            if _is_new(file, seen):
                yield file


def _walk(folder: Path, found: Gathered, seen: set[Path]) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders.sort()
        here = Path(place)
        if not _is_new(here, seen):
            continue
        if SWEEP in files:
            found.sweeps.append(here / SWEEP)
        if RESULTS in files:
            found.n_runs += 1
            yield here / RESULTS
        elif POINT not in files and any(name in files for name in _BEGUN):
            found.unfinished.append(here)


def _is_new(path: Path, seen: set[Path]) -> bool:
    """Whether a place is reached for the first time, by whatever name."""
    place = path.resolve()
    is_new = place not in seen
    seen.add(place)
    return is_new


def _refuse(error: OSError) -> None:
    raise UserError(f"cannot read {error.filename}: {error.strerror}") from error


def _read(path: Path, found: Gathered) -> None:
    records = list(numbered_records(path))
    if not records:
        raise UserError(f"{path} holds no record; remove it, and the command that wrote it makes its run again")
    for line, record in records:
        where = f"{path}, line {line}"
        if record.get("protocol") == "multilabel":
            check_multilabel(record, where)
            found.multilabel.append(record)
        else:
            check_record(record, where)
            found.records.append(record)
            found.sources.append(where)
    predictions, first = path.with_name(PREDICTIONS), records[0][1]
    # Of several classes a picture, none is taken for another.
    if path.name == RESULTS and predictions.is_file() and first["protocol"] not in MULTILABEL:
        found.predictions.append((predictions, first))

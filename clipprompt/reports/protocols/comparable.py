"""Which records of a protocol are one run, one row, one table: what does not compare is never averaged."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from clipprompt.errors import UserError
from clipprompt.printable import to_json
from clipprompt.reports.protocols.columns import MULTILABEL
from clipprompt.reports.protocols.settings import Record, settings_of

Run = tuple[int, int | None]
"""Class split and seed: what runs of one row differ in. A seed is None where nothing is random."""

OF_A_TABLE = ("protocol", "part", "backbone", "pretrained", "fingerprint", "precision", "transform")
_OF_A_RUN = ("trained_on", "shots", "subset", "class_split", "seed", "draw_hash", "selection", "setting")
_BESIDES = ("known", "learns_from", "branch", "members", "share")
"""What records have besides, where pictures have several classes or a share of them is learnt from."""
_VERSION = ("split_hash", "class_hash", "dataset_options")
_TESTED = ("dataset", "tested_subset", *_VERSION)
_MEASURES = (("accuracy", "accuracies"), ("mean_average_precision", "mAP"))
"""Key of the record, and words for two of them: of one class a picture, and of several."""


def run_of(record: Record) -> Run:
    """Class split and seed."""
    return record["class_split"], record["seed"]


def distinct_records(records: Sequence[Record], sources: Sequence[str] | None = None) -> list[Record]:
    """Every measurement once, in an order that does not depend on the order given.

    Args:
        records: of protocols; the same run may come several times, as from shards that were merged twice.
        sources: where each was read, for errors.

    Raises:
        UserError: if one run has two results on one test set, naming both sources.
    """
    places = sources or [f"record {number}" for number in range(1, len(records) + 1)]
    found: dict[str, tuple[Record, str]] = {}
    for record, place in zip(records, places, strict=True):
        key = _identity(record)
        earlier, there = found.setdefault(key, (record, place))
        name, words = _MEASURES[record["protocol"] in MULTILABEL]
        if earlier[name] != record[name]:
            run = f"the same run ({_name(record)}) with {words} {earlier[name]} and {record[name]}"
            raise UserError(f"{there} and {place} are {run}: keep one")
        # Times may differ; which of two is kept must not depend on the order.
        if earlier is not record and to_json(record) < to_json(earlier):
            found[key] = (record, place)
    return [found[key][0] for key in sorted(found)]


def comparable(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Records that may stand in one table: of one protocol, part and backbone, learnt from one set where it matters.

    Where one set was tested with different pictures or class names, what most records have comes first and the others
    come as tables of their own.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[_key(record, OF_A_TABLE)].append(record)
    for _, group in sorted(groups.items()):
        for of_source in _by_source(group):
            yield from _by_version(of_source)


def _by_source(records: list[Record]) -> Iterator[list[Record]]:
    """Cross-dataset and domain have one source to a table; what has learnt nothing stands in each."""
    sources = sorted({record["trained_on"] for record in records if record["trained_on"] is not None})
    if records[0]["protocol"] not in ("cross-dataset", "domain") or len(sources) < 2:
        yield records
        return
    for source in sources:
        yield [record for record in records if record["trained_on"] in (None, source)]


def _by_version(records: list[Record]) -> list[list[Record]]:
    tested = _ranks(records, _tested_place, _tested_version)
    drawn = _ranks(records, _run_place, _drawn_version)
    tables: dict[int, list[Record]] = defaultdict(list)
    for record, *ranks in zip(records, tested, drawn, strict=True):
        tables[max(ranks)].append(record)
    return [tables[rank] for rank in sorted(tables)]


def _ranks(
    records: Sequence[Record], place: Callable[[Record], str], version: Callable[[Record], str]
) -> Iterator[int]:
    """For each record, how common its version of a place is: 0 for the most common one."""
    places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        places[place(record)][version(record)].append(_key(record, _OF_A_RUN))
    # The run decides between equals, so that base and novel classes of one run stay together.
    order = {
        where: sorted(versions, key=lambda name: (-len(versions[name]), min(versions[name]), name))
        for where, versions in places.items()
    }
    return (order[place(record)].index(version(record)) for record in records)


def _tested_place(record: Record) -> str:
    """What must hold the same pictures in all runs; the validation part is drawn with the few shots."""
    drawn = () if record["part"] == "test" else ("shots", "seed")
    return _key(record, ("dataset", "tested_subset", "class_split", *drawn))


def _tested_version(record: Record) -> str:
    return _key(record, _VERSION)


def _run_place(record: Record) -> str:
    """What one row may have once."""
    keys = ("dataset", "tested_subset", "class_split", "seed", "shots", "selection", "setting", *_BESIDES)
    return json.dumps([record["method"], settings_of(record), _key(record, keys)], sort_keys=True)


def _drawn_version(record: Record) -> str:
    return _key(record, ("draw_hash", "trained_on", "subset"))


def _identity(record: Record) -> str:
    method = [record["protocol"], record["method"], settings_of(record)]
    keys = (*_TESTED, *_OF_A_RUN, *OF_A_TABLE, *_BESIDES)
    return json.dumps([*method, *(record.get(key) for key in keys)], sort_keys=True)


def _key(record: Record, keys: Sequence[str]) -> str:
    return json.dumps([record.get(key) for key in keys])


def _name(record: Record) -> str:
    seed = "" if record["seed"] is None else f", seed {record['seed']}"
    parts = [f", {key} {record[key]}" for key in ("known", "share") if record.get(key) is not None]
    return f"{record['method']} on {record['dataset']}, {record['tested_subset']} classes{''.join(parts)}{seed}"

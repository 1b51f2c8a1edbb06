"""What a page says of how its numbers came about: models, seeds, files, draws, settings, libraries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from clipprompt.reports.protocols.columns import learns
from clipprompt.reports.protocols.rows import ProtocolTable
from clipprompt.reports.protocols.settings import Record

_SHORT = 12
"""Letters of a hash that are shown."""


def run_facts(records: Sequence[Record]) -> dict[str, str]:
    """What stands at the top, as far as there is something to say."""
    learnt = [record for record in records if learns(record)]
    of_images = [record for record in learnt if record["trained_on"] is not None]
    splits = {record["class_split"] for record in records}
    found = {
        "backbone": _listed(_backbone(record) for record in records),
        "shots": _listed("all" if record["shots"] is None else record["shots"] for record in of_images),
        "labels known": _listed(_known(record) for record in of_images if "known" in record),
        "captions": _listed(record["corpus"] for record in records if record.get("corpus") is not None),
        "seeds": _listed(record["seed"] for record in records if record["seed"] is not None),
        "class splits": _listed(splits) if splits != {0} else "",
        "kept epoch": _listed(record["selection"] for record in learnt if not record.get("members")),
        "setting": _listed(record["setting"] for record in records),
        "tested on": "" if _all(records, "part", "test") else _listed(record["part"] for record in records),
        "learning took": _duration(sum(_seconds_of_runs(learnt))),
        "most memory": _memory(max(record["peak_memory_bytes"] for record in records)),
        "device": _listed(record["device"] for record in records),
    }
    return {name: value for name, value in found.items() if value}


def libraries(records: Sequence[Record]) -> dict[str, str]:
    """Versions by library; several where runs differ."""
    versions: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for name, version in record["versions"].items():
            versions[name].add(version)
    return {name: _listed(found) for name, found in versions.items()}


def tested_files(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Data set, classes, class split, pictures, number of classes, where the parts are told, and three hashes."""
    found = {
        (
            record["dataset"],
            record["tested_subset"],
            str(record["class_split"]),
            f"{record['n_images']:,}",
            str(len(record["classnames"])),
            record.get("split_source") or _how_read(record),
            (record.get("split_sha256") or "–")[:_SHORT],
            record["split_hash"][:_SHORT],
            record["class_hash"][:_SHORT],
        ): None
        for record in records
    }
    return list(found)


def _how_read(record: Record) -> str:
    """What was chosen while reading a set whose pictures have several classes."""
    return ", ".join(f"{key} {value}" for key, value in record["dataset_options"].items()) or "–"


def draws(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Data set, classes, class split, shots, known labels where there are any to know, seed and hash of each draw."""
    has_labels = any("known" in record for record in records)
    found = {
        (
            record["trained_on"],
            record["subset"],
            record["class_split"],
            -1 if record["shots"] is None else record["shots"],
            _known(record),
            record["seed"],
            record["draw_hash"][:_SHORT],
        )
        for record in records
        if record["draw_hash"] is not None and not record.get("members")
    }
    return [
        (
            name,
            subset,
            str(split),
            "all" if shots < 0 else str(shots),
            *([known] if has_labels else []),
            str(seed),
            digest,
        )
        for name, subset, split, shots, known, seed, digest in sorted(found)
    ]


def _known(record: Record) -> str:
    """Labels that were known, in words."""
    known = record.get("known")
    return "all" if known is None else known if isinstance(known, str) else f"{100 * known:g}%"


def settings(table: ProtocolTable) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every option of every row; of one that is not the same in all runs, all values."""
    return [(row.label, list(_options(row.records))) for row in table.rows]


def _options(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    keys = dict.fromkeys(key for record in records for key in record["options"])
    for key in sorted(keys):
        values = dict.fromkeys(_json(record["options"], key) for record in records)
        yield key, " | ".join(list(values)[:6]) + (" | …" if len(values) > 6 else "")


def _json(options: Mapping[str, Any], key: str) -> str:
    return json.dumps(options[key], ensure_ascii=False) if key in options else "not recorded"


def _backbone(record: Record) -> str:
    tag = f" ({record['pretrained']})" if record["pretrained"] else ""
    return f"{record['backbone']}{tag}, {record['precision']}, weights {record['fingerprint'][:_SHORT]}"


def _seconds_of_runs(records: Iterable[Record]) -> Iterator[float]:
    """Of each run once, whatever the number of its tests."""
    keys = ("method", "trained_on", "corpus", "shots", "known", "subset", "class_split", "seed", "train_seconds")
    yield from {
        json.dumps([record.get(key) for key in keys]): record["train_seconds"] or 0.0 for record in records
    }.values()


def _duration(seconds: float) -> str:
    if seconds < 1:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _memory(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**28 else f"{n_bytes / 2**20:.0f} MiB"


def _all(records: Iterable[Record], key: str, value: object) -> bool:
    return all(record[key] == value for record in records)


def _listed(values: Iterable[Any]) -> str:
    """The different values, numbers by size."""
    different = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    return ", ".join(map(str, different))

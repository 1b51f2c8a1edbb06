"""Runs of a method as rows: those with the same settings are one row, and what differs is the row's name."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clipprompt.printable import printable
from clipprompt.reports.protocols.columns import BY_SHOTS, MULTILABEL
from clipprompt.reports.protocols.settings import (
    PER_DATASET,
    SELECTION,
    SETTING,
    TEMPLATES,
    TRANSDUCTIVE,
    Record,
    per_place,
    selection_of,
    setting_of,
    settings_of,
)

# Methods in the order of publication; any other comes after them.
_METHODS = (
    *("zero_shot", "coop", "cocoop", "kgcoop", "prograd", "vpt", "ivlp", "maple", "promptsrc"),
    *("tai_dpt", "dualcoop", "caption_dual"),
    # Of visual-tuning, in the order of the study's tables; the number behind partial and mlp orders those.
    *("full", "linear", "partial", "mlp", "sidetune", "bias", "adapter", "lora"),
    *("vpt-shallow", "vpt-deep", "vpt-bias", "vpt-pad"),
    *("clip-adapter", "tip-adapter", "tip-adapter-f", "clip-lora"),
)
OF_CAPTIONS = ("tai_dpt",)
"""Methods that learn from captions unless it is said otherwise; any other's pictures go without saying."""
_SOURCES = {"nothing": "nothing", "captions": "captions", "images": "images", "both": "captions + images"}
SOURCE = "learns_from"
_UNSAID = "not recorded"
Group = tuple[dict[str, Any], list[Record]]
"""What some records agree in, and the records."""


@dataclass(frozen=True)
class Variant:
    """The records of one row.

    Attributes:
        method: name of the learner.
        label: the method, and what tells this row from the other rows of the method.
        records: of all its runs and data sets.
    """

    method: str
    label: str
    records: tuple[Record, ...]


def variants(records: Sequence[Record]) -> list[Variant]:
    """The rows of a table, methods in the order of publication.

    Args:
        records: that compare, each once.
    """
    by_method: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_method[record["method"]].append(record)
    return [variant for name in sorted(by_method, key=_method_order) for variant in _of_method(name, by_method[name])]


def _of_method(method: str, records: Sequence[Record]) -> Iterator[Variant]:
    """Rows by source; what differs with the source alone, such as the rule of selection, is not said."""
    groups = _completed([pair for group in _grouped(records, _traits) for pair in _told_apart(*group)])
    for source in sorted({traits.get(SOURCE) for traits, _ in groups}, key=_source_order):
        same = [pair for pair in groups if pair[0].get(SOURCE) == source]
        shown = _differing([traits for traits, _ in same])
        for traits, group in sorted(same, key=lambda pair: [_order(pair[0].get(key)) for key in shown]):
            yield Variant(method, _label(method, traits, shown) + _ending(group), tuple(group))


def _grouped(records: Sequence[Record], traits: Callable[[Record], dict[str, Any]]) -> list[Group]:
    groups: dict[str, Group] = {}
    for record in records:
        found = traits(record)
        groups.setdefault(json.dumps(found, sort_keys=True), (found, []))[1].append(record)
    return list(groups.values())


def _told_apart(traits: dict[str, Any], records: Sequence[Record]) -> list[Group]:
    """Splits by what has several values on one data set with as many shots and labels."""
    values: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for record in records:
        settings = settings_of(record)
        for key in per_place(record):
            place = key, record["dataset"], record["shots"], record.get("known"), record.get("share")
            values[place].add(json.dumps(settings.get(key)))
    keys = sorted({key for (key, *_), found in values.items() if len(found) > 1})
    groups = _grouped(records, lambda record: {**traits, **{key: settings_of(record).get(key) for key in keys}})
    return [(found, [*group, *_also(found, group, records)]) for found, group in groups]


def _completed(groups: Sequence[Group]) -> list[Group]:
    """Says of every row what tells two of them apart, where its runs agree in it."""
    usual = {key for _, group in groups for record in group for key in per_place(record)}
    told = {key for traits, _ in groups for key in traits} & usual
    return [(traits | _agreed(group, told - traits.keys()), group) for traits, group in groups]


def _agreed(records: Sequence[Record], keys: Iterable[str]) -> dict[str, Any]:
    values = {key: {json.dumps(settings_of(record).get(key)) for record in records} for key in keys}
    return {key: json.loads(found.pop()) for key, found in values.items() if len(found) == 1}


def _also(traits: Mapping[str, Any], group: Sequence[Record], records: Sequence[Record]) -> list[Record]:
    """On sets whose own sentence is the row's, one record stands for both rows."""
    wanted = {key: traits[key] for key in PER_DATASET if key in traits}
    if TEMPLATES not in wanted:
        return []
    seen = [record for record in records if wanted == {key: record["options"].get(key) for key in wanted}]
    return [record for record in seen if record not in group]


def _traits(record: Record) -> dict[str, Any]:
    """What makes a row: settings, and what else the records of one row agree in."""
    settings = {key: value for key, value in settings_of(record).items() if key not in per_place(record)}
    traits = settings
    if record["protocol"] not in BY_SHOTS and record["trained_on"] is not None:
        traits["shots"] = record["shots"]
    if record["protocol"] in MULTILABEL:
        traits |= {key: record[key] for key in (SOURCE, "branch", "members")}
        if record["protocol"] != "partial-label" and record["trained_on"] is not None:
            traits["known"] = record["known"]
    else:
        traits |= {SELECTION: selection_of(record), SETTING: record[SETTING]}
    return traits


def _differing(all_traits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values are not the same in all, in alphabetical order."""
    keys = sorted({key for traits in all_traits for key in traits})
    return [key for key in keys if len({json.dumps(traits.get(key, _UNSAID)) for traits in all_traits}) > 1]


def _label(method: str, traits: Mapping[str, Any], shown: Sequence[str]) -> str:
    told = [key for key in shown if key != SETTING]  # which is said of every row that is not inductive
    lasts = [key.rpartition(".")[2] for key in told]
    names = [last if lasts.count(last) == 1 else key for key, last in zip(told, lasts, strict=True)]
    parts = [f"{name}={_shown(traits.get(key, _UNSAID))}" for key, name in zip(told, names, strict=True)]
    return printable(", ".join([method + _source(method, traits), *parts]))


def _ending(records: Sequence[Record]) -> str:
    """Says that a row is transductive; of one that is so in some columns alone, a note does."""
    return f" ({TRANSDUCTIVE})" if setting_of(records) == TRANSDUCTIVE else ""


def _source(method: str, traits: Mapping[str, Any]) -> str:
    """What a method learnt from, where that is not what its name says."""
    source, usual = traits.get(SOURCE), "captions" if method in OF_CAPTIONS else "images"
    return "" if source in (None, usual, "nothing") or traits.get("members") else f" ({_SOURCES.get(source, source)})"


def _shown(value: Any) -> str:
    """As a user writes it behind ``key=``."""
    if isinstance(value, list):
        return _shown(value[0]) if len(value) == 1 else f"{len(value)} values"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _method_order(name: str) -> tuple[bool, int, int, str]:
    """Ensembles last."""
    stem, _, number = name.rpartition("-")
    stem, depth = (stem, int(number)) if stem and number.isdecimal() else (name, 0)
    return "+" in name, _METHODS.index(stem) if stem in _METHODS else len(_METHODS), depth, name


def _source_order(source: str | None) -> int:
    return list(_SOURCES).index(source) if source in _SOURCES else len(_SOURCES)


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, before everything else by its JSON."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (0, float(value), "") if is_number else (1, 0.0, json.dumps(value, sort_keys=True))

"""What of a record's options can change its numbers, and which of it protocols give by data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from clipprompt._yaml import read_mapping
from clipprompt.reports.protocols.columns import MULTILABEL, TUNING
from clipprompt.resources import resource

Record = Mapping[str, Any]

# Options that say where things lie and how work is shared; seed, shots and the backbone are keys of the record itself.
_NO_SETTING = {
    "method",
    *(
        f"train.{name}"
        for name in ("seed", "devices", "compile", "checkpoint_seconds", "checkpoint_steps", "log_steps")
    ),
}
_SETTINGS_OF_DATA = {
    f"data.{name}"
    for name in ("augment", "keep_empty", "labels", "n_captions", "n_images", "skip_missing", "templates")
}
_UNLESS_OTHER = {"train.optimizer": "sgd"}
"""Options that older records lack, with the value that went without saying."""
TEMPLATES, OWN, CAPTIONS, SELECTION = "learner.templates", "{dataset}", "captions", "selection"
SETTING, TRANSDUCTIVE = "setting", "transductive"
PER_DATASET = (
    "train.epochs",
    "train.lr",
    "train.batch_size",
    "learner.spatial_scale_image",
    TEMPLATES,
    CAPTIONS,
)
"""Settings that protocols give by data set: they tell rows apart only where one set was run with several values."""
PER_PLACE = (*PER_DATASET, "train.select", SELECTION, SETTING)
"""The same where pictures have several classes, with what the kind of known labels decides."""
_TUNED = ("train.lr", "train.weight_decay", "data.augment")
"""Settings that visual-tuning gives or chooses by data set."""


def settings_of(record: Record) -> dict[str, Any]:
    """The options that can change a result; of several classes a picture also captions and the rule of selection.

    Hand-written sentences of the record's own set are ``{dataset}``.
    """
    options = record["options"].items()
    settings = {key: value for key, value in options if _is_setting(key) and value != _UNLESS_OTHER.get(key, ...)}
    if record.get("corpus") is not None:
        settings[CAPTIONS] = record["corpus"]
    if record["protocol"] in MULTILABEL:
        settings |= {SELECTION: selection_of(record), SETTING: record[SETTING]}
    elif record["protocol"] == TUNING:  # takes nobody's own sentences, even where the words are those of a set
        return settings
    if settings.get(TEMPLATES) in [form for name in (record["dataset"], record["trained_on"]) for form in _own(name)]:
        settings[TEMPLATES] = [OWN]
    return settings


def selection_of(record: Record) -> str:
    """The rule by which an epoch was kept, in the same words for all sets."""
    return str(record["selection"]).replace(f" {record['trained_on']}:", f" {OWN}:")


def per_place(record: Record) -> tuple[str, ...]:
    """Settings that may differ by data set within a row; of an ensemble also those of its members."""
    if record["protocol"] == TUNING:
        return tuple(dict.fromkeys((*PER_DATASET, *_TUNED, *chosen(record))))
    keys = PER_PLACE if record["protocol"] in MULTILABEL else PER_DATASET
    return (*keys, *(f"{member}: {key}" for member in record.get("members", ()) for key in keys))


def chosen(record: Record) -> dict[str, Any]:
    """Settings that a grid chose on val; none where they were given."""
    return dict((record.get("grid") or {}).get("chosen", {}))


def setting_of(records: Iterable[Record]) -> str:
    """Of some records of one row: transductive if all are."""
    return TRANSDUCTIVE if all(record[SETTING] == TRANSDUCTIVE for record in records) else "inductive"


def hand_written(dataset: str) -> str:
    """CoOp's sentence for a set, or the plain one."""
    return _sentences().get(dataset, "a photo of a {}.")


def _own(dataset: str | None) -> list[list[str]]:
    """How templates say that they are a set's own: by its name, or by the sentence."""
    return [] if dataset is None else [[dataset], [hand_written(dataset)]]


@cache
def _sentences() -> dict[str, str]:
    return read_mapping(resource("configs/templates/datasets.yaml"))


def _is_setting(key: str) -> bool:
    own = key.rpartition(": ")[2]  # of an ensemble, whose members' options have a name before them
    return own not in _NO_SETTING and (not own.startswith(("backbone.", "data.")) or own in _SETTINGS_OF_DATA)

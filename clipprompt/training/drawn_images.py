"""What a run sees of a labelled set: all of it, or what its settings and its seed choose.

    one class a picture    ClassificationSet --draw(shots or share, train.seed, subset, class_split)--> train, val
    several                MultiLabelImages --learnt_labels(labels, subset, class_split, shots, known)--> train, val

Nothing of the part test is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from clipprompt.config import DataConfig, RunConfig
from clipprompt.datasets import load_dataset
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.datasets.classification.load import is_classification, load_classification, settle_pictures
from clipprompt.datasets.classification.own import has_several_labels
from clipprompt.datasets.images import PRESENT, MultiLabelImages
from clipprompt.datasets.partial.known import only_labelled
from clipprompt.datasets.partial.learnt import learnt_labels
from clipprompt.datasets.select import is_named, training_split
from clipprompt.errors import UserError
from clipprompt.learners import DenseLearner, learner_class
from clipprompt.printable import counted


class Seen(NamedTuple):
    """What a run sees of a set.

    Attributes:
        train: to learn from, with the labels that are known.
        val: to select an epoch by; None where nothing is selected, where other pictures are named for that, or where a
            part of ``train`` is to be held out.
        pool: all pictures that runs of other seeds, shares and shots see too.
    """

    train: MultiLabelImages
    val: MultiLabelImages | None
    pool: MultiLabelImages


def see_images(config: RunConfig) -> Seen:
    """The pictures and labels that a run learns from.

    Raises:
        UserError: if the set cannot be read, is a test split, has no part train, pictures of it are missing, or nothing
            of it is chosen.
    """
    data = config.data
    seen = _see_one_class(config) if is_drawn_from(data) else _see_several(config)
    if data.keep_empty:
        return seen
    val = seen.val
    if val is not None and (val.targets == PRESENT).any():  # otherwise it is told that it selects nothing
        val = val.without_empty()
    return seen._replace(train=seen.train.without_empty(), val=val)


def is_drawn_from(options: DataConfig) -> bool:
    """Whether data have one class to a picture and are seen in parts: named ones are, others where it is asked for."""
    if options.dataset is None:
        return False
    if options.parts or is_classification(options.dataset.partition(":")[0]):
        return True
    several = is_named(options.dataset) or options.dataset.lower().endswith(".json")
    return chooses_pictures(options) and not several and not has_several_labels(options.dataset)


def chooses_pictures(options: DataConfig) -> bool:
    """Whether it is said which pictures or classes of the data are learnt from."""
    drawn = options.shots is not None or options.share is not None or options.with_val
    return drawn or options.subset != "all" or options.class_split > 0


def chooses_labels(options: DataConfig) -> bool:
    """Whether not all labels of the data are known to the run."""
    return options.known is not None or options.labels is not None


def load_images(options: DataConfig, spec: str, classnames: Sequence[str] | None = None) -> MultiLabelImages:
    """The training split of a set with all its pictures, those without a class too."""
    return load_dataset(
        training_split(spec),
        options.images,
        root=options.root,
        classnames=classnames,
        n_images=options.n_images,
        skip_missing=options.skip_missing,
    )


def _selects(config: RunConfig) -> bool:
    return config.train.select != "last" and config.data.validation is None


def _see_several(config: RunConfig) -> Seen:
    data = config.data
    for key, unset in (("share", None), ("with_val", False)):
        if (value := getattr(data, key)) != unset:
            shown = str(value).lower()
            raise UserError(f"data.{key}={shown} is for sets with one class a picture, and {data.dataset} has several")
    pool = load_images(data, str(data.dataset))
    if not (chooses_labels(data) or chooses_pictures(data)):
        return Seen(only_labelled(pool), None, pool)
    learnt = learnt_labels(
        pool,
        seed=config.train.seed,
        shots=data.shots,
        known=data.known,
        labels=data.labels,
        subset=data.subset,
        class_split=data.class_split,
    )
    return Seen(learnt.train, learnt.val if _selects(config) else None, pool)


def _see_one_class(config: RunConfig) -> Seen:
    """The labels of a drawn picture may be known in part too, by a method that asks for each class by itself."""
    data, seed = config.data, config.train.seed
    train, val, pool = _draw(config)
    if not chooses_labels(data):
        return Seen(train, val, pool)
    if not issubclass(learner_class(config.method), DenseLearner):
        raise UserError(
            f"{config.method} learns which one class a picture has, and of {data.dataset} that says all its labels: "
            "draw fewer pictures with data.shots, or leave out data.known and data.labels"
        )
    known = learnt_labels(train, seed=seed, known=data.known, labels=data.labels).train
    return Seen(known, val and learnt_labels(val, seed=seed, known=data.known).train, pool)


def _draw(config: RunConfig) -> Seen:
    data, train = config.data, config.train
    selects = _selects(config)
    parts = ("train", "val") if selects or data.with_val else ("train",)
    found = load_classification(_name(data), data.root, data.images, parts)
    everything = partial(draw, found, data.shots, train.seed, data.subset, data.class_split, with_val=data.with_val)
    drawn = everything(share=data.share)
    how = "all" if data.shots is None else f"{data.shots} of each class by seed {train.seed}"
    if data.share is not None:
        how = f"{data.share:.3g} of each class by seed {train.seed}"
    of = " of train and val" if data.with_val else ""
    what = f"{counted(len(drawn.train), 'picture')} of {counted(len(drawn.classnames), 'class')}, {how}{of}"
    note = f"{found.name}: drew {what}; draw {drawn.hash[:16]}"
    learnt = _settled(drawn, "train", data).with_notes(note)
    pool = learnt if data.share is None else _settled(everything(), "train", data)
    if not selects:
        return Seen(learnt, None, pool)
    if drawn.val:
        return Seen(learnt, _settled(drawn, "val", data), pool)
    share = f"{train.val_fraction:.0%} of each class's training pictures, but at least one"
    held_out = f"{share}, are held out to select an epoch by"
    return Seen(learnt.with_notes(f"{found.name} has no part val; {held_out}"), None, pool)


def _name(data: DataConfig) -> str:
    """The set, without the part that may stand behind it."""
    name, colon, part = str(data.dataset).rpartition(":")
    if colon and part == "train":
        return name
    if colon and part in ("val", "valid", "validation", "test"):
        raise UserError(
            f"{data.dataset} is kept for {'testing' if part == 'test' else 'selection'}; learn from {name}:train"
        )
    return str(data.dataset)


def _settled(drawn: Drawn, part: str, data: DataConfig) -> MultiLabelImages:
    root = None if data.images is not None else data.root
    return settle_pictures(drawn.images(part), drawn.dataset, part, root, data.skip_missing)

"""A labelled set of images as a run's source: what is trained on, what is held out, and how its pictures are seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipprompt.config import RunConfig
from clipprompt.datasets import MultiLabelImages
from clipprompt.datasets.partial.known import note_never_present
from clipprompt.datasets.partial.label_file import write_labels
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints
from clipprompt.learners import Learner
from clipprompt.printable import counted
from clipprompt.training._label_checks import check_selects, check_told_apart, is_single_label
from clipprompt.training._unreadable import find_unreadable, without
from clipprompt.training.data import split_by_class, split_validation
from clipprompt.training.drawn_images import chooses_labels, is_drawn_from, load_images, see_images
from clipprompt.training.encoded_pictures import Bools, encoded_before
from clipprompt.training.image_data import Pictures
from clipprompt.training.run_folder import RunFolder
from clipprompt.training.seen_pictures import check_views, describe_views, is_plain, see
from clipprompt.training.source import Prepared, Say

LABELS = "labels.jsonl"
"""In a run folder, the labels that were known of the pictures that it learnt from, where not all of them were."""


@dataclass(frozen=True)
class LabelledImages:
    """A labelled set to train on.

    Attributes:
        images: to learn from, with the labels that are known.
        validation: others, whose columns are the same classes; None to hold out a part.
        pool: all pictures that runs of other seeds, shares and shots see too, whose features they share; None for those
            that this one sees.
    """

    images: MultiLabelImages
    validation: MultiLabelImages | None = None
    pool: MultiLabelImages | None = None

    @property
    def classnames(self) -> tuple[str, ...]:
        """C names, in the order of the labels."""
        return self.images.classnames

    def __len__(self) -> int:
        """Pictures to train on, and to hold a part of out."""
        return len(self.images)

    def sample(self, n_samples: int, seed: int) -> LabelledImages:
        """Some of the pictures, drawn at random, and as large a part of those for validation."""
        draw = np.random.default_rng(seed)

        def some(images: MultiLabelImages) -> MultiLabelImages:
            n = max(1, min(len(images), round(len(images) * n_samples / len(self))))
            return images.subset(np.sort(draw.permutation(len(images))[:n]).tolist())

        return LabelledImages(some(self.images), None if self.validation is None else some(self.validation))

    def n_trained_on(self, config: RunConfig) -> int:
        """Pictures that are left where a part of them is held out."""
        return len(self.split(config)[0][0])

    def fingerprint(self) -> str:
        """A short hash of class names, labels, and the names and sizes of the files; no file is read."""
        digest = hashlib.sha256()
        for one in (self.images, self.validation):
            if one is not None:
                sizes = [_size(item) for item in one.items]
                digest.update(json.dumps([one.classnames, one.ids, sizes]).encode())
                digest.update(one.targets.tobytes())
        return digest.hexdigest()[:16]

    def prepare(
        self, learner: Learner, config: RunConfig, run: RunFolder, tell: Say, stop: Callable[[], None]
    ) -> Prepared:
        """Leaves out what cannot be read, holds out a part for validation, and encodes what can be encoded once."""
        check_views(learner, config)
        sets = {"train": self.images} | ({"validation": self.validation} if self.validation is not None else {})
        for note in dict.fromkeys(note for one in sets.values() for note in one.notes):
            tell(note)
        unreadable = find_unreadable(sets, self._encoded_before(learner, config), config.data, run, stop)
        for message in (skipped := tuple(f"{message}; it is left out" for _, _, message in unreadable)):
            tell(message)
        train, held = (self._pictures(without(samples, name, unreadable), name) for samples, name in self.split(config))
        if not len(train):
            raise UserError(f"{self.images.name}: none of its {len(self.images)} pictures can be read")
        selects = config.train.select != "last"
        if selects and not len(held):
            raise UserError(f"{self.images.name}: no picture is left to select an epoch by; give data.validation=DATA")
        if chooses_labels(config.data):
            if selects:
                check_selects(held, config.train.select)
            if run.writes:
                write_labels(self.images, run.path / LABELS)
        data, validation = see(learner, train, held if selects else None, config, run.cache, stop, tell)
        name = f"{self.images.name} and val" if config.data.with_val else self.images.name
        tell(
            f"{config.method}: {counted(len(train), 'picture')} of {name}, "
            f"{describe_views(learner, config)}; {counted(len(self.classnames), 'class')}, "
            f"{counted(config.train.epochs, 'epoch')}"
        )
        return Prepared(data, validation, skipped)

    def _pictures(self, samples: Ints, name: str) -> Pictures:
        images = self.images if name == "train" or self.validation is None else self.validation
        shares = self.pool is not None and {*images.items} <= {*self.pool.items}  # other pictures may select
        return Pictures(images, samples, self.pool if shares else None)

    def _encoded_before(self, learner: Learner, config: RunConfig) -> dict[str, Bools]:
        """By set, which of its pictures a run before this one has read already."""
        if not is_plain(learner, config):
            return {}
        every = {"train": np.arange(len(self.images)), "validation": np.arange(len(self.validation or ()))}
        return {
            name: encoded_before(learner, self._pictures(samples, name), config.data)
            for name, samples in every.items()
            if len(samples)
        }

    def split(self, config: RunConfig) -> tuple[tuple[Ints, str], tuple[Ints, str]]:
        """Numbers of the pictures for training and for validation, each with the set that they are of."""
        every = np.arange(len(self.images))
        if config.train.select == "last":
            return (every, "train"), (every[:0], "train")
        if self.validation is not None:
            return (every, "train"), (np.arange(len(self.validation)), "validation")
        targets, how = self.images.targets, (config.train.val_fraction, config.train.seed)
        if is_single_label(self.images):
            kept, held = split_by_class(targets.argmax(axis=1).tolist(), *how)
        else:
            kept, held = split_validation(range(len(self.images)), *how)
        return (kept, "train"), (held, "train")


def load_labelled_images(config: RunConfig) -> LabelledImages:
    """The labelled set that a run learns from, and the one to select an epoch by.

    Raises:
        UserError: if there is none, it is a test split, it cannot be read, its labels have nothing to tell apart, or
            the two share pictures or differ in classes.
    """
    options = config.data
    if options.dataset is None:
        raise UserError("no training data: give --dataset DATA, such as a folder of class folders, or mini:train")
    images, validation, pool = see_images(config)
    check_told_apart(images, config.method)
    images = images.with_notes(*note_never_present(images))
    if options.validation is not None:
        validation = load_images(options, options.validation, images.classnames)
        of_other_classes = is_drawn_from(options) or options.subset != "all"
        if of_other_classes or not options.keep_empty:
            validation = validation.without_empty()
        if n_shared := len(set(images.items) & set(validation.items)):
            shared = f"{counted(n_shared, 'picture')} of data.validation={options.validation}"
            raise UserError(f"{shared} {'is' if n_shared == 1 else 'are'} trained on; name other ones")
    return LabelledImages(images, validation, pool)


def held_out_images(config: RunConfig) -> MultiLabelImages | None:
    """The pictures by which an epoch of a run was selected, with the labels that the run knew.

    Args:
        config: of the run, as its folder has it.

    Returns:
        None where the last epoch was kept, or no picture was learnt from.

    Raises:
        UserError: if the data cannot be read, or are no longer those of the run.
    """
    if config.train.select == "last" or config.data.dataset is None or config.train.epochs == 0:
        return None
    _, held = learnt_and_held_out(config)
    return None if held is None else held.images.subset(held.samples.tolist())


def learnt_and_held_out(config: RunConfig) -> tuple[Pictures, Pictures | None]:
    """The pictures that a run learnt from, and those of :func:`held_out_images`; the set is loaded once for both.

    Args:
        config: of the run, as its folder has it; one that learns from pictures.

    Raises:
        UserError: as :func:`held_out_images`.
    """
    found = load_labelled_images(config)
    learnt, held = (found._pictures(samples, name) for samples, name in found.split(config))
    if config.train.select == "last":
        return learnt, None
    recorded = config.data.fingerprint
    if recorded is not None and recorded.rpartition("+")[2] != found.fingerprint():
        labels = config.data.labels
        what = config.data.dataset if labels is None else f"{config.data.dataset} with the labels of {labels}"
        raise UserError(f"{what} is not what was learnt from: its pictures or labels have changed since")
    return learnt, held


def _size(item: Any) -> int | str:
    if not isinstance(item, Path):
        return str(item)
    try:
        return item.stat().st_size
    except OSError:
        return -1

"""Few-shot draws and halves of the classes, picture by picture those of CoOp and CoCoOp for the same seed.

    samples of train --rng.sample per class, in order of first appearance--> shots of each
    samples of val   --the same generator goes on------------------------> min(shots, 4) of each
    val joins train where it is learnt from, and a share of each class is taken
    then the classes are halved, what is of the other half is left out, and labels run from 0 again

CoOp (Zhou 2022, arXiv 2109.01134), section 4.1: 1 to 16 shots; CoCoOp (Zhou 2022, arXiv 2203.05557), section 4.1: base
and new classes. Everything is drawn before the classes are halved, so the shots of a class are the same in both.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from clipprompt.datasets.classification.sets import PARTS, ClassificationSet, Sample, hash_samples
from clipprompt.datasets.classification.share import take_share
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.errors import UserError, nearest

SUBSETS = ("all", "base", "novel")
MAX_VAL_SHOTS = 4
"""CoOp's: no more pictures of each class to select by, however many there are to learn from."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a run sees of a set.

    Attributes:
        dataset: that was drawn from.
        parts: the drawn samples by part; labels are places in ``classnames``.
        classnames: of the chosen subset.
        subset: all, base or novel.
        notes: lines for people, of the set and of the draw.
    """

    dataset: ClassificationSet
    parts: Mapping[str, tuple[Sample, ...]]
    classnames: tuple[str, ...]
    subset: str = "all"
    notes: tuple[str, ...] = ()

    @property
    def train(self) -> tuple[Sample, ...]:
        """To learn from; empty where the set has no such part."""
        return self.parts.get("train", ())

    @property
    def val(self) -> tuple[Sample, ...]:
        """To select by; empty where the set has no such part."""
        return self.parts.get("val", ())

    @property
    def test(self) -> tuple[Sample, ...]:
        """To test on, all of the subset; empty where the set has no such part."""
        return self.parts.get("test", ())

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the training samples (:func:`hash_samples`): equal hashes are equal draws."""
        return hash_samples(self.train)

    def part(self, name: str) -> tuple[Sample, ...]:
        """The samples of a part.

        Raises:
            UserError: if the set has no such part.
        """
        self.dataset.part(name)
        return self.parts[name]

    def images(self, part: str) -> MultiLabelImages:
        """A part as the type that training and scoring take.

        Raises:
            UserError: if the set has no such part, or no picture of these classes in it.
        """
        subset = "" if self.subset == "all" else f", {self.subset} classes"
        images = self.dataset.images(f"{self.dataset.name}:{part}{subset}", self.part(part), self.classnames)
        return images.with_notes(*(note for note in self.notes if note not in images.notes))


def draw(
    dataset: ClassificationSet,
    shots: int | None,
    seed: int,
    subset: str = "all",
    class_split: int = 0,
    *,
    share: float | None = None,
    with_val: bool = False,
) -> Drawn:
    """Draws what a run sees of a set. The module's text says how; nothing global is touched.

    Args:
        dataset: to draw from.
        shots: pictures of each class to learn from; None for all of train and val.
        seed: of the draw, 0 or more.
        subset: all, base or novel classes.
        class_split: of :func:`halves`.
        share: part of the pictures of each class to learn from (:func:`take_share`); None for all of them.
        with_val: makes the part val a part of train, and leaves it empty.

    Raises:
        UserError: if ``shots`` is below 1 or ``seed`` below 0, ``share``, ``subset`` or ``class_split`` are none, or
            there is no part val to learn from.
    """
    if seed < 0:  # Python's generator would take its absolute value
        raise UserError(f"seed {seed} is below 0; give 0 or more")
    if subset not in SUBSETS:
        raise UserError(f"subset {subset!r} is none of {', '.join(SUBSETS)}{nearest(subset, SUBSETS)}")
    labels = _labels_of(dataset, subset, class_split)
    place = {label: index for index, label in enumerate(labels)}
    rng = random.Random(seed)
    limits = {"train": shots, "val": None if shots is None else min(shots, MAX_VAL_SHOTS)}
    chosen: dict[str, Sequence[Sample]] = {}
    for part in (part for part in PARTS if part in dataset.parts):  # in this order, since they share the generator
        limit = limits.get(part)
        chosen[part] = dataset.parts[part] if limit is None else few_shot(dataset.parts[part], limit, rng)
    if with_val:
        chosen |= {"train": [*_learnt(chosen, dataset, "train"), *_learnt(chosen, dataset, "val")], "val": []}
    if share is not None and "train" in chosen:
        chosen["train"] = take_share(chosen["train"], share, seed)
    parts = {
        part: tuple(s._replace(label=place[s.label]) for s in samples if s.label in place)
        for part, samples in chosen.items()
    }
    classnames = tuple(dataset.classnames[label] for label in labels)
    few = _note_few(dataset.name, parts.get("train", ()), classnames, shots)
    return Drawn(dataset, parts, classnames, subset, (*dataset.notes, *few))


def _learnt(chosen: Mapping[str, Sequence[Sample]], dataset: ClassificationSet, part: str) -> Sequence[Sample]:
    if not chosen.get(part):
        raise UserError(f"{dataset.name} has no part {part}, so nothing is learnt from it: leave out data.with_val")
    return chosen[part]


def few_shot(samples: Sequence[Sample], shots: int, rng: random.Random) -> list[Sample]:
    """``shots`` samples of each label, labels in the order of their first sample; all of a label that has too few.

    Args:
        samples: to draw from.
        shots: of each label.
        rng: goes on by one sample per label that has enough.

    Raises:
        UserError: if ``shots`` is below 1.
    """
    if shots < 1:
        raise UserError(f"shots={shots} leaves nothing to learn from; give 1 or more, or none for all pictures")
    of_label: dict[int, list[Sample]] = {}
    for sample in samples:
        of_label.setdefault(sample.label, []).append(sample)
    groups = (rng.sample(group, shots) if len(group) >= shots else group for group in of_label.values())
    return [sample for group in groups for sample in group]


def halves(n_classes: int, class_split: int = 0) -> tuple[list[int], list[int]]:
    """The labels of base and of novel classes, each ascending; base has one more where their number is odd.

    Args:
        n_classes: of the whole set.
        class_split: 0 for the halves of papers, the first labels and the rest; otherwise the seed of another halving.

    Raises:
        UserError: if ``class_split`` is below 0.
    """
    if class_split < 0:
        raise UserError(f"class_split={class_split} is below 0; 0 means the halves of papers, others are seeds")
    labels = list(range(n_classes))
    if class_split:
        random.Random(class_split).shuffle(labels)
    n_base = (n_classes + 1) // 2
    return sorted(labels[:n_base]), sorted(labels[n_base:])


def _labels_of(dataset: ClassificationSet, subset: str, class_split: int) -> list[int]:
    n_classes = len(dataset.classnames)
    base, novel = halves(n_classes, class_split)
    if subset == "novel" and not novel:
        raise UserError(f"{dataset.name} has a single class, {dataset.classnames[0]!r}, so none of them is novel")
    return {"all": list(range(n_classes)), "base": base, "novel": novel}[subset]


def _note_few(dataset: str, train: Sequence[Sample], classnames: Sequence[str], shots: int | None) -> tuple[str, ...]:
    counts = Counter(sample.label for sample in train)
    few = [f"{name} ({counts[label]})" for label, name in enumerate(classnames) if counts[label] < (shots or 0)]
    if not train or not few:
        return ()
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    return (f"{dataset}: fewer than {shots} training pictures, all of them taken: {', '.join(few[:5])}{more}",)

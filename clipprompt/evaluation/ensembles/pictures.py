"""The pictures on which the weights of an ensemble are chosen: never those that are tested, never those learnt from.

    --validation DATA            the user's, checked against DATA and against what each member learnt from
    otherwise                    what a member's own run held out, less what other members learnt from

Files are told apart by where they really lie, and the user's also by what is in them; drawn pictures by their seeds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clipprompt.config import read_config
from clipprompt.datasets import MultiLabelImages, load_dataset
from clipprompt.datasets._checks import plain_name
from clipprompt.datasets.select import training_split
from clipprompt.errors import UserError
from clipprompt.evaluation.ensembles._copies import n_shared
from clipprompt.evaluation.protocols.one_class_sets import is_drawn, is_official
from clipprompt.training.encoded_pictures import pool_of
from clipprompt.training.image_data import Pictures
from clipprompt.training.labelled_images import learnt_and_held_out

_ADVICE = "give --validation DATA, or --weights such as 0.1,0.9"


@dataclass(frozen=True)
class Validation:
    """Pictures to choose weights by.

    Attributes:
        images: with those classes of the tested set that they have labels for, in its order.
        where: what they are, in words.
        notes: lines for people.
        pool: of pictures that a run held out, all those that runs of its data encode into one entry.
    """

    images: MultiLabelImages
    where: str
    notes: tuple[str, ...] = ()
    pool: MultiLabelImages | None = None


@dataclass(frozen=True)
class _Run:
    """What a run saw of labelled pictures.

    Attributes:
        source: its folder.
        learnt: the pictures that it learnt from.
        held_out: those by which it selected an epoch, if it did.
    """

    source: Path
    learnt: frozenset[Hashable]
    held_out: Pictures | None


def given_validation(
    spec: str,
    sources: Sequence[Path],
    tested: MultiLabelImages,
    *,
    root: Path | None = None,
    images: Path | None = None,
    n_images: int = 500,
    skip_missing: bool = False,
) -> Validation:
    """The set that a user names.

    Args:
        spec: as for :func:`clipprompt.datasets.load_dataset`; a named set without a split is its training split.
        sources: prompt folders of the members.
        tested: the set that the ensemble is tested on.
        root: of named sets.
        images: folder of the pictures.
        n_images: of drawn scenes.
        skip_missing: leaves out pictures whose file is missing.

    Raises:
        UserError: if it is a test split, cannot be read, shares no class with the tested set, or has a picture that is
            tested or was learnt from.
    """
    name = spec.partition(":")[0].lower()
    found = load_dataset(
        training_split(spec),
        None if is_drawn(name) else images,
        root=root if is_official(name) else None,
        n_images=n_images,
        skip_missing=skip_missing,
    )
    keys = picture_keys(found)
    _refuse_shared(n_shared(keys, picture_keys(tested)), f"--validation {spec}", f"tested ({tested.name})")
    notes = []
    for source in sources:
        try:
            run = _read_run(source)
        except UserError as error:
            notes.append(f"whether --validation {spec} was learnt from cannot be told: {error}")
            continue
        if not (source / "config.yaml").is_file():
            notes.append(f"{source} has no config.yaml to say what it learnt from")
        if run is not None:
            _refuse_shared(n_shared(keys, run.learnt), f"--validation {spec}", f"what {source} learnt from")
    return _of_same_classes(found, found.name, tested, (*found.notes, *notes))


def held_out_validation(sources: Sequence[Path], tested: MultiLabelImages) -> Validation:
    """What the first member held out of whose pictures some are left when those that others learnt from are not.

    Args:
        sources: prompt folders of the members.
        tested: the set that the ensemble is tested on.

    Raises:
        UserError: if no member held pictures out, others learnt from all of them, or some are tested.
    """
    runs = [run for source in sources if (run := _read_run(source)) is not None]
    learnt = frozenset[Hashable]().union(*(run.learnt for run in runs))
    why = "no prompt's run held pictures out"
    for run in runs:
        if run.held_out is None:
            continue
        where, keys = f"what {run.source} held out", _keys(run.held_out.items)
        _refuse_shared(len(picture_keys(tested).intersection(keys)), where, f"tested ({tested.name})")
        kept = [place for place, key in enumerate(keys) if key not in learnt]
        if kept:
            lost = len(keys) - len(kept)
            notes = (
                f"{lost:,} of the {len(keys):,} pictures that {run.source} held out: another prompt learnt from them",
            )
            left = run.held_out.images.subset(run.held_out.samples[kept].tolist())
            return replace(_of_same_classes(left, where, tested, notes[: lost > 0]), pool=pool_of(run.held_out))
        why = f"another prompt learnt from {where}"
    raise UserError(f"{why}, so nothing can choose the weights; {_ADVICE}")


def picture_keys(images: MultiLabelImages) -> set[Hashable]:
    """What tells pictures apart: of files where they lie, links followed; of drawn ones what they are drawn from."""
    return set(_keys(images.items))


def _keys(items: Iterable[Any]) -> list[Hashable]:
    return [item.resolve() if isinstance(item, Path) else item for item in items]


def _refuse_shared(n_pictures: int, what: str, of: str) -> None:
    if n_pictures:
        raise UserError(f"{n_pictures:,} pictures of {what} are {of}; {_ADVICE.replace('DATA', 'OTHER')}")


def _read_run(source: Path) -> _Run | None:
    """What a run says that it saw; None of a folder that says nothing, or of a run that saw no labelled picture."""
    path = source / "config.yaml"
    if not path.is_file():
        return None
    config = read_config(path)
    if config.data.dataset is None or config.train.epochs == 0:
        return None
    try:
        learnt, held = learnt_and_held_out(config)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    return _Run(source, frozenset(_keys(learnt.items)).difference(_keys(held.items) if held else ()), held)


def _of_same_classes(
    images: MultiLabelImages, where: str, tested: MultiLabelImages, notes: tuple[str, ...]
) -> Validation:
    there = {_spelt(name) for name in images.classnames}
    common = [name for name in tested.classnames if _spelt(name) in there]
    if not common:
        raise UserError(f"{where} and {tested.name} have no class in common; {_ADVICE}")
    if len(common) < len(tested.classnames):
        notes = (*notes, f"weights are chosen by {len(common)} of the {len(tested.classnames)} classes")
    return Validation(images.with_classes(common), where, notes)


def _spelt(name: str) -> str:
    """A class name as sets compare it: VOC's ``diningtable`` is ``dining table``."""
    return plain_name(name).replace(" ", "")

"""What ``clipprompt calibrate`` calibrates on: labelled images, a corpus, or what the run of the prompt held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipprompt.errors import UserError, advise

if TYPE_CHECKING:
    from clipprompt.captions.corpus import Corpus
    from clipprompt.config import RunConfig
    from clipprompt.datasets import MultiLabelImages

_ADVICE = "give --dataset DATA"


@dataclass(frozen=True)
class DataRequest:
    """The options of the command that name data.

    Attributes:
        captions: a corpus.
        dataset: a labelled set.
        images: the folder of its pictures.
        root: the folder of a named set.
        label_file: says which labels of the set are known.
        prompt: the prompt folder; None for zero-shot CLIP.
        classnames: to keep; None for all.
    """

    captions: Path | None
    dataset: str | None
    images: Path | None
    root: Path | None
    label_file: str | None
    prompt: Path | None
    classnames: Sequence[str] | None


def load_samples(asked: DataRequest) -> tuple[Corpus | MultiLabelImages, str]:
    """The samples, and what messages call them.

    Raises:
        UserError: if options contradict each other, there is nothing, or it cannot be read.
    """
    from clipprompt.captions.corpus import load_corpus

    if asked.captions is not None and asked.dataset is not None:
        raise UserError("--captions and --dataset: calibrate on one of them")
    if asked.dataset is not None:
        labelled, name = _labelled(asked, asked.dataset)
        return labelled if asked.prompt is None else _told_what_was_seen(labelled, asked.prompt), name
    if asked.images is not None or asked.root is not None:
        raise UserError("--images and --root go with --dataset DATA")
    if asked.label_file is not None:
        raise UserError(f"--label-file {asked.label_file} goes with --dataset DATA")
    if asked.captions is not None:
        return load_corpus(asked.captions), asked.captions.name
    if asked.prompt is None:
        raise UserError("nothing to calibrate on: give --captions CORPUS or --dataset DATA")
    return _held_out(asked.prompt, asked.classnames)


def _labelled(asked: DataRequest, spec: str) -> tuple[MultiLabelImages, str]:
    from clipprompt.datasets import load_dataset
    from clipprompt.datasets.partial.label_file import apply_labels

    # A mask has a column for every class of the set, so classes are chosen behind it.
    found = load_dataset(spec, asked.images, root=asked.root)
    if asked.label_file is not None:
        found = apply_labels(found, asked.label_file)
    return (found if asked.classnames is None else found.with_classes(asked.classnames)), found.name


def _told_what_was_seen(images: MultiLabelImages, run: Path) -> MultiLabelImages:
    """With a note of how many the run learnt from, as far as its own pictures are still there."""
    from clipprompt.evaluation.ensembles.pictures import picture_keys
    from clipprompt.training.labelled_images import learnt_and_held_out

    config = _config(run)
    if config is None or config.data.dataset is None or not config.train.epochs:
        return images
    try:
        learnt, _ = learnt_and_held_out(config)
    except UserError:
        return images
    n_seen = len(picture_keys(images) & picture_keys(learnt.images.subset(learnt.samples.tolist())))
    note = f"training saw {n_seen:,} of these {len(images):,} pictures, of which a prompt is surer; others are better"
    return images.with_notes(*[note][: n_seen > 0])


def _held_out(run: Path, classnames: Sequence[str] | None) -> tuple[Corpus | MultiLabelImages, str]:
    from clipprompt.inference._caption_samples import held_out_corpus

    config = _config(run)
    if config is None or config.data.dataset is None:
        return held_out_corpus(run)
    from clipprompt.datasets.images import ABSENT, PRESENT
    from clipprompt.training.labelled_images import held_out_images

    try:
        found = held_out_images(config)
    except UserError as error:
        raise advise(error, _ADVICE) from None
    if found is None:
        raise UserError(f"{run} held no pictures out of training; {_ADVICE}, or train with train.select=val_map")
    if classnames is not None:
        found = found.with_classes(classnames)
    for value, meaning in ((PRESENT, "present"), (ABSENT, "absent")):
        if not (found.targets == value).any():
            known = f"of the pictures that {run} held out, no class is known to be {meaning}"
            raise UserError(f"{known}, so there is nothing to calibrate on; {_ADVICE}")
    return found, f"what {run} held out"


def _config(run: Path) -> RunConfig | None:
    from clipprompt.config import read_config

    return read_config(run / "config.yaml") if (run / "config.yaml").is_file() else None

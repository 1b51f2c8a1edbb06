"""What the records of one pass over a set have in common: the set, the model, the libraries."""

from __future__ import annotations

from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone
    from clipprompt.config import RunConfig
    from clipprompt.datasets import MultiLabelImages

_LIBRARIES = ("clipprompt", "torch", "open-clip-torch", "timm", "torchvision", "torchmetrics", "numpy", "pillow")


class Pass(TypedDict):
    """One pass of one backbone over one labelled set.

    ``dataset_options`` is what was chosen while reading the set. ``n_images`` and ``split_hash`` are of the images that
    were scored; ``n_skipped`` counts those that could not be read. ``draft`` pictures were decoded at a reduced size,
    and ``cached`` features went through the float16 of the cache on disk.
    """

    protocol: str
    dataset: str
    dataset_options: dict[str, str]
    n_images: int
    n_skipped: int
    split_hash: str
    class_hash: str
    classnames: list[str]
    backbone: str
    pretrained: str | None
    fingerprint: str
    precision: str
    draft: bool
    cached: bool
    device: str
    versions: dict[str, str]
    seconds: float


def describe_pass(
    backbone: Backbone, dataset: MultiLabelImages, *, n_skipped: int, seconds: float, draft: bool, cached: bool
) -> Pass:
    """Describes a pass.

    Args:
        backbone: that encoded the images.
        dataset: the images that were scored.
        n_skipped: how many others could not be read.
        seconds: that scoring took.
        draft: whether pictures were decoded at a reduced size.
        cached: whether features went through the cache on disk.
    """
    return {
        "protocol": "multilabel",
        "dataset": dataset.name,
        "dataset_options": dict(dataset.options),
        "n_images": len(dataset),
        "n_skipped": n_skipped,
        "split_hash": dataset.split_hash(),
        "class_hash": dataset.class_hash(),
        "classnames": list(dataset.classnames),
        "backbone": backbone.name,
        "pretrained": backbone.pretrained,
        "fingerprint": backbone.fingerprint(),
        "precision": backbone.precision,
        "draft": draft,
        "cached": cached,
        "device": str(backbone.device),
        "versions": library_versions(),
        "seconds": round(seconds, 3),
    }


class Training(TypedDict):
    """How a prompt was learnt, from the configuration in its run folder.

    ``data`` is the labelled set, or the corpus of a prompt that was learnt from captions alone; ``corpus`` is that of
    captions, with or without pictures. Of the set, ``shots`` of each class were drawn, ``known`` is the share of labels
    that was, or ``single-positive``, and ``labels`` the file that said which were. ``augment`` and ``views`` are None
    where it was learnt from captions; ``views`` is 0 where every step saw a fresh one, as published, and otherwise how
    many of each picture were encoded once. ``select`` is the rule by which an epoch was kept; ``validation`` the set
    that it was asked of, where that was not a part of the data.
    """

    data: str | None
    data_fingerprint: str | None
    corpus: str | None
    shots: int | None
    known: float | str | None
    labels: str | None
    validation: str | None
    augment: str | None
    views: int | None
    select: str
    epochs: int
    batch_size: int
    lr: float
    precision: str


def describe_training(config: RunConfig) -> Training:
    """What records say of the training of a prompt."""
    data, train = config.data, config.train
    of_images = data.dataset is not None
    return {
        "data": data.dataset if of_images else data.corpus,
        "data_fingerprint": data.fingerprint,
        "corpus": data.corpus,
        "shots": data.shots,
        "known": data.known,
        "labels": data.labels,
        "validation": data.validation,
        "augment": (data.augment or "none") if of_images else None,
        "views": train.views if of_images else None,
        "select": train.select,
        "epochs": train.epochs,
        "batch_size": train.batch_size,
        "lr": train.lr,
        "precision": config.backbone.precision,
    }


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a number."""
    return {"python": python_version()} | {name: version(name) for name in _LIBRARIES}

"""What a run sees of a set with one class to each picture: the part train, or a few of each class that its seed draws.

    ClassificationSet --draw(shots, train.seed, subset, class_split)--> train to learn from, val to select an epoch by

Nothing of the part test is looked at.
"""

from __future__ import annotations

from clipprompt.config import DataConfig, RunConfig
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.datasets.classification.load import is_classification, load_classification, settle_pictures
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.errors import UserError


def is_drawn_from(options: DataConfig) -> bool:
    """Whether data are seen in parts: named sets with one class a picture are, others where a setting asks for it."""
    asked = options.parts or options.shots is not None or options.subset != "all" or options.class_split > 0
    return options.dataset is not None and (asked or is_classification(options.dataset.partition(":")[0]))


def draw_images(config: RunConfig) -> tuple[MultiLabelImages, MultiLabelImages | None]:
    """The pictures to learn from, and those to select an epoch by.

    Returns:
        Second, None where nothing is selected, where the configuration names other pictures for that, or where the set
        has no part val; then a part of the first is to be held out, and a note says so.

    Raises:
        UserError: if the set cannot be read, is no such set, has no part train, or pictures of it are missing.
    """
    data, train = config.data, config.train
    selects = train.select != "last" and data.validation is None
    found = load_classification(_name(data), data.root, data.images, ("train", "val") if selects else ("train",))
    drawn = draw(found, data.shots, train.seed, data.subset, data.class_split)
    how = "all" if data.shots is None else f"{data.shots} of each class by seed {train.seed}"
    what = f"{len(drawn.train):,} pictures of {len(drawn.classnames)} classes, {how}"
    note = f"{found.name}: drew {what}; draw {drawn.hash[:16]}"
    learnt = _settled(drawn, "train", data).with_notes(note)
    if not selects:
        return learnt, None
    if drawn.val:
        return learnt, _settled(drawn, "val", data)
    share = f"{train.val_fraction:.0%} of each class's training pictures, but at least one"
    held_out = f"{share}, are held out to select an epoch by"
    return learnt.with_notes(f"{found.name} has no part val; {held_out}"), None


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

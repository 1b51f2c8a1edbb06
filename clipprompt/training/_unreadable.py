"""Pictures that cannot be read: found before the first step, written down in the run folder, and left out.

A run that is gone on with takes the list as it stands: it learns from the same pictures as one that was never cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from clipprompt.config import DataConfig
from clipprompt.datasets import MultiLabelImages, decode_in_order, open_image
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints
from clipprompt.files import write_json
from clipprompt.progress import track
from clipprompt.training.run_folder import RunFolder

_SMALLEST = 1  # pixels that a JPEG must keep: decoded at an eighth of its size, a file cut off is found as well

Unreadable = list[tuple[str, int, str]]
"""Of each picture its set, its number there, and the reason in one line."""


def find_unreadable(
    sets: Mapping[str, MultiLabelImages],
    readable: Mapping[str, npt.NDArray[np.bool_]],
    options: DataConfig,
    run: RunFolder,
    stop: Callable[[], None],
) -> Unreadable:
    """Decodes every picture of some sets once, or takes what the run folder says of the same data.

    Args:
        sets: by name. Drawn scenes are not looked at.
        readable: of some of the sets, which pictures are known to be readable.
        options: threads, and the fingerprint of the data.
        run: where ``pictures.json`` is.
        stop: called after every picture; may raise to stop.
    """
    path = run.path / "pictures.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["fingerprint"] == options.fingerprint:
            return [(str(name), int(number), str(reason)) for name, number, reason in known["unreadable"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not looked through yet
    found = [
        (name, *one)
        for name, images in sets.items()
        for one in _try_all(images, readable.get(name), options.workers, stop)
    ]
    if run.writes:
        write_json(path, {"fingerprint": options.fingerprint, "unreadable": found})
    return found


def without(samples: Ints, name: str, unreadable: Unreadable) -> Ints:
    """The samples of a set that can be read."""
    return samples[~np.isin(samples, [number for one, number, _ in unreadable if one == name])]


def _try_all(
    images: MultiLabelImages, readable: npt.NDArray[np.bool_] | None, workers: int, stop: Callable[[], None]
) -> list[tuple[int, str]]:
    if images.open_item is not open_image:
        return []
    numbers = range(len(images)) if readable is None else np.flatnonzero(~readable).tolist()
    found, decode = [], partial(open_image, draft=_SMALLEST)
    outcomes = decode_in_order(numbers, lambda number: decode(images.items[number]), workers=workers)
    for number, outcome in track(outcomes, "Checking pictures", len(numbers), "pictures"):
        if isinstance(outcome, UserError):
            found.append((number, str(outcome)))
        stop()
    return found

"""Miniatures as the Hub's archives have them, and a table that knows their sizes."""

from __future__ import annotations

import io
import zipfile
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from clipprompt.datasets.classification.specifications import FIFTEEN, HUB_REPOSITORY, SPECIFICATIONS
from tests.datasets.archives import pack_zip
from tests.datasets.classification.miniatures import make_miniature
from tests.sharing.hub_stand_in import Hub, Repo

FETCHED = tuple(name for name in FIFTEEN if name != "imagenet")
N_PICKLES = 2


def miniature_sizes() -> AbstractContextManager[object]:
    """A context in which the sets have as many pictures as their miniatures have by default.

    Without a split file, only the number tells whether a set is whole. Numbers of classes stay where there are such
    files, which are known by both.
    """
    table = {}
    for one in SPECIFICATIONS.values():
        sizes = {part: {"train": 20, "val": 8, "test": 12}[part] for part in one.sizes}
        sizes |= {"train": 28} if one.name == "imagenet" else {}
        n_classes = 4 if one.name.startswith("imagenet") else one.n_classes
        table[one.name] = replace(one, n_classes=n_classes, sizes=sizes)
    return patch.dict("clipprompt.datasets.classification.specifications.SPECIFICATIONS", table)


def hub_archive(name: str, folder: Path) -> bytes:
    """A miniature's zip: its folder at the top, with CoOp's pickles of few-shot draws and a Mac's litter."""
    make_miniature(name, folder)
    specification = SPECIFICATIONS[name]
    content = io.BytesIO(pack_zip(folder, specification.folder))
    with zipfile.ZipFile(content, "a") as zipped:
        for seed in range(N_PICKLES):
            zipped.writestr(f"{specification.folder}/split_fewshot/shot_16-seed_{seed}.pkl", b"cos\nsystem\n")
        zipped.writestr(f"__MACOSX/{specification.folder}/._images", b"litter")
    return content.getvalue()


def fill_hub(hub: Hub, archives: dict[str, bytes], kind: str = "model", gated: bool = False) -> None:
    """Makes the repository of the named sets hold these archives."""
    files = {".gitattributes": b"", "README.md": b"# Datasets", **archives}
    hub.repos[HUB_REPOSITORY] = Repo(kind=kind, gated=gated, branches={"main": [files]})

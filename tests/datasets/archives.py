"""Archives of miniatures, and the table that knows their checksums."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from clipprompt.datasets.specifications import SPECIFICATIONS, Specification
from tests.datasets.miniatures import make_coco, make_voc


def pack_zip(folder: Path, *names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        for name in names:
            for path in sorted((folder / name).rglob("*")):
                zipped.write(path, path.relative_to(folder))
    return content.getvalue()


def pack_tar(folder: Path, name: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(folder / name, name)
    return content.getvalue()


def voc_archives(folder: Path) -> dict[str, bytes]:
    """The two archives of VOC2007 under their names; each holds its own splits alone."""
    make_voc(folder / "a", {"train": 2, "val": 2, "test": 0})
    make_voc(folder / "b", {"test": 3})
    for path in (folder / "b").rglob("*0*.*"):  # the test set's numbers go on after the others
        path.rename(path.with_name(f"1{path.name[1:]}"))
    listing = folder / "b" / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "test.txt"
    listing.write_text("".join(f"1{line[1:]}\n" for line in listing.read_text().split()))
    shutil.rmtree(folder / "b" / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "trainval.txt", ignore_errors=True)
    names = ("VOCtrainval_06-Nov-2007.tar", "VOCtest_06-Nov-2007.tar")
    return {name: pack_tar(folder / part, "VOCdevkit") for name, part in zip(names, "ab", strict=True)}


def coco_archives(folder: Path) -> dict[str, bytes]:
    """The two archives that coco2014:val needs."""
    make_coco(folder)
    return {
        "annotations_trainval2014.zip": pack_zip(folder, "annotations"),
        "val2014.zip": pack_zip(folder, "val2014"),
    }


def known(files: Mapping[str, bytes], url: str) -> dict[str, Specification]:
    """The table of sets, with the addresses and checksums of these archives."""
    names = {"2007": "VOCtrainval_06-Nov-2007.tar", "2007-test": "VOCtest_06-Nov-2007.tar"}
    table = {}
    for one in SPECIFICATIONS.values():
        archives = []
        for archive in one.archives:
            name = names.get(archive.torchvision_key) or archive.url.rpartition("/")[2]
            md5 = hashlib.md5(files.get(name, b"")).hexdigest()
            archives.append(replace(archive, url=f"{url}/{name}", md5=md5, torchvision_key=""))
        table[one.name] = replace(one, archives=tuple(archives))
    return table


def use(table: dict[str, Specification]) -> AbstractContextManager[object]:
    """A context in which the sets' table is this one."""
    return patch.dict("clipprompt.datasets.specifications.SPECIFICATIONS", table)

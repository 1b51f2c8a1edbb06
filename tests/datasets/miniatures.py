"""Miniatures of the official layouts, in their true formats, with drawn pictures whose labels are right.

Each function fills a folder that can be given as ``--root``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipprompt.captions.synonyms import load_classes
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import Scene, sample_scene, split_seeds

VOC, COCO, NUSWIDE = (load_classes(name).classnames for name in ("voc2007", "coco2014", "nuswide"))
# COCO numbers its 80 classes 1 to 90; these numbers are left out.
COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
TO_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
TO_NUSWIDE = {"aeroplane": "plane", "bird": "birds", "boat": "boats", "car": "cars", "horse": "horses"}


def draw(path: Path, number: int, size: int = 64) -> Scene:
    """Saves the picture of a scene as a JPEG and returns the scene."""
    scene = sample_scene(split_seeds("extra", number + 1)[number])
    path.parent.mkdir(parents=True, exist_ok=True)
    render_scene(scene, size).save(path, quality=90)
    return scene


def write_lines(path: Path, lines: list[str], end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())


def make_voc(root: Path, splits: Mapping[str, int] | None = None, size: int = 64) -> Path:
    """VOCdevkit/VOC2007; the last image of every split has one more object, a difficult one of its class alone.

    Args:
        root: the folder above ``VOCdevkit``.
        splits: how many images in train, val and test; 2, 2 and 3 by default.
        size: side of the pictures.

    Returns:
        The folder ``VOC2007``.
    """
    base = root / "VOCdevkit" / "VOC2007"
    number = 0
    ids: dict[str, list[str]] = {}
    for split, count in (splits or {"train": 2, "val": 2, "test": 3}).items():
        for index in range(count):
            number += 1
            image = f"{number:06d}"
            scene = draw(base / "JPEGImages" / f"{image}.jpg", number, size)
            objects = [voc_object(thing.kind, 0) for thing in scene.present if thing.kind in VOC]
            if index == count - 1:
                objects.append(voc_object(next(name for name in VOC if name not in {t.kind for t in scene.objects}), 1))
            write_lines(base / "Annotations" / f"{image}.xml", [voc_xml(image, objects, size)])
            ids.setdefault(split, []).append(image)
    ids["trainval"] = ids.get("train", []) + ids.get("val", [])
    for split, listed in ids.items():
        if listed:
            write_lines(base / "ImageSets" / "Main" / f"{split}.txt", listed)
    return base


def voc_object(name: str, difficult: int) -> str:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>" if name == "person" else ""
    return (
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>{difficult}</difficult>"
        f"<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>{part}</object>"
    )


def voc_xml(image: str, objects: list[str], size: int = 64) -> str:
    return (
        f"<annotation><folder>VOC2007</folder><filename>{image}.jpg</filename>"
        f"<size><width>{size}</width><height>{size}</height><depth>3</depth></size>{''.join(objects)}</annotation>"
    )


def make_coco(root: Path, year: int = 2014, splits: Mapping[str, int] | None = None, size: int = 64) -> Path:
    """annotations/instances_SPLITyear.json and SPLITyear/*.jpg; the last image of a split has no annotation.

    Args:
        root: the folder above ``annotations``.
        year: 2014 or 2017; they name their files differently.
        splits: how many images in each; 4 in val by default.
        size: side of the pictures.

    Returns:
        ``root``.
    """
    ids = [number for number in range(1, 91) if number not in COCO_GAPS]
    number_of = dict(zip(COCO, ids, strict=True))
    categories = [{"id": number, "name": name, "supercategory": "thing"} for name, number in number_of.items()]
    for split, count in (splits or {"val": 4}).items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index in range(count):
            image = 100 + index
            stem = f"{image:012d}.jpg"
            name = stem if year == 2017 else f"COCO_{split}{year}_{stem}"
            scene = draw(root / f"{split}{year}" / name, image, size)
            images.append({"id": image, "file_name": name, "width": size, "height": size})
            kinds = [TO_COCO.get(thing.kind, thing.kind) for thing in scene.present] if index < count - 1 else []
            for kind in kinds:
                if kind in number_of:
                    box = {"bbox": [1, 1, 8, 8], "area": 64, "iscrowd": 0, "segmentation": [[1, 1, 9, 1, 9, 9]]}
                    entry = {"id": len(annotations) + 1, "image_id": image, "category_id": number_of[kind]}
                    annotations.append(entry | box)
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
        path = root / "annotations" / f"instances_{split}{year}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return root


def make_nuswide(root: Path, splits: Mapping[str, int] | None = None, size: int = 64) -> Path:
    """ImageList, Groundtruth, ConceptsList and Flickr; the last image of a split has no label.

    Args:
        root: the folder that will hold ``ImageList``.
        splits: how many images in train and test; 3 and 4 by default.
        size: side of the pictures.

    Returns:
        ``root``.
    """
    listed: dict[str, list[str]] = {"all": []}
    found: dict[str, list[set[str]]] = {"all": []}
    for split, count in (splits or {"train": 3, "test": 4}).items():
        for index in range(count):
            number = 200 + len(listed["all"])
            tag = ("actor", "zebra")[index % 2]
            name = f"{number:04d}_{2124494179 + number}.jpg"
            scene = draw(root / "Flickr" / tag / name, number, size)
            kinds = {TO_NUSWIDE.get(thing.kind, thing.kind) for thing in scene.present} if index < count - 1 else set()
            for key in ("all", split):
                listed.setdefault(key, []).append(f"{tag}\\{name}")
                found.setdefault(key, []).append(kinds)
    lists = {"all": "Imagelist", "train": "TrainImagelist", "test": "TestImagelist"}
    for split, lines in listed.items():
        write_lines(root / "ImageList" / f"{lists[split]}.txt", lines)
        for concept in NUSWIDE:
            folder, end = ("AllLabels", "") if split == "all" else ("TrainTestLabels", f"_{split.title()}")
            values = [str(int(concept in kinds)) for kinds in found[split]]
            write_lines(root / "Groundtruth" / folder / f"Labels_{concept}{end}.txt", values)
    write_lines(root / "ConceptsList" / "Concepts81.txt", NUSWIDE)
    return root

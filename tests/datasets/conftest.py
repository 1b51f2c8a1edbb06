"""Small sets in the true formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CATEGORIES = [
    {"id": 18, "name": "dog", "supercategory": "animal"},
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 17, "name": "cat", "supercategory": "animal"},
]


def save_image(path: Path, size: tuple[int, int] = (12, 8), colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def annotation(image: int, category: int, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "bbox": [0, 0, 4, 4], "iscrowd": 0} | more


@pytest.fixture
def coco_content() -> dict[str, Any]:
    return {
        "info": {},
        "images": [{"id": 7, "file_name": "b.jpg"}, {"id": 3, "file_name": "a.jpg"}, {"id": 5, "file_name": "c.jpg"}],
        "annotations": [annotation(7, 18), annotation(7, 18), annotation(3, 1, iscrowd=1), annotation(3, 17)],
        "categories": CATEGORIES,
    }


@pytest.fixture
def write_coco(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes the official layout: annotations/instances_tiny.json beside tiny/*.jpg."""

    def write(content: Any) -> Path:
        for name in "abc":
            save_image(tmp_path / "tiny" / f"{name}.jpg")
        path = tmp_path / "annotations" / "instances_tiny.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def write_table(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a table of labels beside a.jpg and sub/b.png."""

    def write(name: str, content: str | bytes) -> Path:
        save_image(tmp_path / "a.jpg")
        save_image(tmp_path / "sub" / "b.png")
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write

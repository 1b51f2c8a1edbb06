from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets import load_dataset
from clipprompt.errors import UserError


@pytest.mark.parametrize("prefix", ["", "coco:"])
def test_coco_file_is_found_by_prefix_or_ending(
    write_coco: Callable[[Any], Path], coco_content: dict[str, Any], prefix: str
) -> None:
    dataset = load_dataset(f"{prefix}{write_coco(coco_content)}", classnames=["dog"])
    assert dataset.targets.tolist() == [[1], [0], [0]]


@pytest.mark.parametrize("prefix", ["", "folder:"])
def test_table_is_found_by_prefix_or_ending(write_table: Callable[[str, str], Path], prefix: str) -> None:
    path = write_table("t.csv", "path,labels\na.jpg,cat\n")
    assert load_dataset(f"{prefix}{path}", classnames=["dog", "cat"]).targets.tolist() == [[0, 1]]


@pytest.mark.parametrize("spec", ["", "coco", "coco:", "folder:", "pictures", "pascal:x.json2", "labels.txt"])
def test_unknown_spelling_is_refused_with_the_known_ones(spec: str) -> None:
    with pytest.raises(UserError, match=r"unknown dataset .*coco:FILE\.json.*mini\[:test\]"):
        load_dataset(spec)

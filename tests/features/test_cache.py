from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clipprompt.errors import UserError
from clipprompt.features import cache as module
from clipprompt.features.cache import FeatureCache, Ints, build_cache, cache_name, remove_cache

LENGTHS = [3, 1, 4, 1, 5, 2, 6]
WIDTH = 8


class Encoder:
    """Gives every item rows of its own, and remembers which items it was asked for."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.asked: list[int] = []
        self.fail_after = fail_after

    def __call__(self, items: Ints) -> torch.Tensor:
        if self.fail_after is not None and len(self.asked) >= self.fail_after:
            raise KeyboardInterrupt
        self.asked += items.tolist()
        return torch.cat([rows_of(item) for item in items.tolist()])


def rows_of(item: int) -> torch.Tensor:
    return torch.randn(LENGTHS[item], WIDTH, generator=torch.Generator().manual_seed(item))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_BATCH", 4)
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", 8)


def build(encoder: Encoder, folder: Path | None = None, dtype: str = "float32", **key: object) -> FeatureCache:
    return build_cache(LENGTHS, encoder, width=WIDTH, dtype=dtype, folder=folder, key=key, memory_gb=0.0)


def assert_right(cache: FeatureCache, tolerance: float = 0.0) -> None:
    items = np.array([6, 0, 3, 3, 5, 1, 2, 4])
    rows, lengths = cache.take(items)
    assert rows.numpy().dtype == cache.rows.dtype
    assert lengths.tolist() == [LENGTHS[item] for item in items]
    expected = torch.cat([rows_of(item) for item in items.tolist()])
    assert (rows - expected).abs().max() <= tolerance


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.0), ("float16", 2e-3)])
def test_rows_come_back_in_the_order_asked_for(on_disk: bool, dtype: str, tolerance: float, tmp_path: Path) -> None:
    cache = build(Encoder(), tmp_path if on_disk else None, dtype)
    assert cache.is_on_disk == on_disk
    assert cache.nbytes == sum(LENGTHS) * WIDTH * np.dtype(dtype).itemsize
    assert_right(cache, tolerance)


def test_every_item_is_encoded_once_from_the_shortest_on() -> None:
    encoder = Encoder()
    build(encoder)
    assert encoder.asked == [1, 3, 5, 0, 2, 4, 6]


def test_a_cache_below_the_budget_stays_in_memory(tmp_path: Path) -> None:
    build_cache(LENGTHS, Encoder(), width=WIDTH, folder=tmp_path, memory_gb=1.0)
    assert not list(tmp_path.iterdir())


def test_a_finished_cache_is_taken_from_disk(tmp_path: Path) -> None:
    build(Encoder(), tmp_path)
    encoder = Encoder()
    assert_right(build(encoder, tmp_path))
    assert encoder.asked == []


@pytest.mark.parametrize("fail_after", range(1, 7))
def test_a_cut_off_cache_goes_on_after_its_last_block(fail_after: int, tmp_path: Path) -> None:
    first, second = Encoder(fail_after), Encoder()
    with pytest.raises(KeyboardInterrupt):
        build(first, tmp_path)
    assert_right(build(second, tmp_path))
    assert 0 < len(second.asked) <= len(LENGTHS)
    index = json.loads(next(tmp_path.glob("*/blocks.json")).read_text())
    assert len(index["sums"]) == len(index["ends"])


@pytest.mark.parametrize("keep", [0, 1, 100, 500, -1])
def test_a_truncated_cache_is_noticed_and_mended(keep: int, tmp_path: Path) -> None:
    build(Encoder(), tmp_path)
    path = next(tmp_path.glob("*/rows.bin"))
    path.write_bytes(path.read_bytes()[:keep])
    encoder = Encoder()
    assert_right(build(encoder, tmp_path))
    assert encoder.asked


def test_one_flipped_bit_costs_one_block(tmp_path: Path) -> None:
    build(Encoder(), tmp_path)
    path = next(tmp_path.glob("*/rows.bin"))
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    encoder = Encoder()
    assert_right(build(encoder, tmp_path))
    assert encoder.asked == [1, 3, 5, 0]  # the first block: at most 8 rows of the shortest items


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"sums": {}}', '{"sums": {"0": "x"}}'])
def test_a_damaged_index_means_that_nothing_is_finished(text: str, tmp_path: Path) -> None:
    build(Encoder(), tmp_path)
    next(tmp_path.glob("*/blocks.json")).write_text(text)
    encoder = Encoder()
    assert_right(build(encoder, tmp_path))
    assert len(encoder.asked) == len(LENGTHS)


def test_other_keys_stay_apart(tmp_path: Path) -> None:
    build(Encoder(), tmp_path, weights="a")
    encoder = Encoder()
    build(encoder, tmp_path, weights="b")
    assert len(encoder.asked) == len(LENGTHS)
    assert {path.name for path in tmp_path.iterdir()} == {cache_name({"weights": "a"}), cache_name({"weights": "b"})}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the feature cache .*file"):
        build(Encoder(), tmp_path / "file")


def test_removing_leaves_what_is_not_ours(tmp_path: Path) -> None:
    build(Encoder(), tmp_path / "cache")
    (tmp_path / "cache" / "mine.txt").write_text("mine")
    remove_cache(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mine.txt"]
    (tmp_path / "cache" / "mine.txt").unlink()
    remove_cache(tmp_path / "cache")
    remove_cache(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_no_items_make_an_empty_cache() -> None:
    cache = build_cache([], Encoder(), width=WIDTH)
    assert len(cache) == 0
    assert cache.rows.shape == (0, WIDTH)

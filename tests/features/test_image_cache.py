from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.features import image_cache
from clipprompt.features.image_cache import ImageCache, default_cache_folder
from clipprompt.features.images import encode_images, everything


@pytest.fixture(autouse=True)
def two_images_a_block(monkeypatch: pytest.MonkeyPatch, backbone: Backbone) -> None:
    rows = 2 + (backbone.image_size // backbone.vision.patch_size) ** 2
    monkeypatch.setattr(image_cache, "_BLOCK_BYTES", 2 * rows * backbone.embed_dim * 2)


class Opener:
    """Opens files and remembers which; may stop after some."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.opened: list[str] = []
        self.stop_after = stop_after

    def __call__(self, path: Path) -> Image.Image:
        if len(self.opened) == self.stop_after:
            raise KeyboardInterrupt
        self.opened.append(path.name)
        return open_image(path)


def _cache(
    backbone: Backbone,
    files: list[Path],
    folder: Path,
    opener: Opener | None = None,
    places: tuple[bool, ...] = (False,),
) -> ImageCache:
    return ImageCache(backbone, files, opener or Opener(), folder, "whole", places)


@pytest.mark.parametrize("places", [(), (False,), (True,), (False, True)])
def test_the_cache_holds_the_features(
    backbone: Backbone, files: list[Path], tmp_path: Path, places: tuple[bool, ...]
) -> None:
    cache = _cache(backbone, files, tmp_path / "cache", places=places)
    cache.fill(batch_size=3)
    assert backbone.preprocess is not None
    wanted = everything(backbone, places)
    assert wanted.places == places
    expected = encode_images(backbone, torch.stack([backbone.preprocess(open_image(path)) for path in files]), wanted)
    batches = list(cache.read(wanted, batch_size=4))
    assert [place for places, _ in batches for place in places] == list(range(7))
    for kind in wanted.places:
        local = torch.cat([features.local[kind] for _, features in batches])
        torch.testing.assert_close(local, expected.local[kind], rtol=0, atol=1e-3)
    for kind in (True, False):
        pooled = torch.cat([features.pooled[kind] for _, features in batches])
        torch.testing.assert_close(pooled, expected.pooled[kind], rtol=0, atol=1e-3)


def test_ways_of_reading_places_have_entries_of_their_own(
    backbone: Backbone, files: list[Path], tmp_path: Path
) -> None:
    ways: list[tuple[bool, ...]] = [(), (False,), (True,), (False, True)]
    folders = {_cache(backbone, files, tmp_path, places=way).folder for way in ways}
    assert len(folders) == len(ways)
    assert _cache(backbone, files, tmp_path, places=()).folder in folders


def test_an_extraction_that_was_stopped_goes_on(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _cache(backbone, files, tmp_path / "cache", Opener(stop_after=5)).fill(batch_size=1, workers=0)
    opener = Opener()
    cache = _cache(backbone, files, tmp_path / "cache", opener)
    assert cache.missing() == [4, 5, 6]  # the fifth was encoded, but its block of two was not finished
    cache.fill(batch_size=2)
    assert opener.opened == ["4.jpg", "5.jpg", "6.jpg"]
    assert cache.missing() == []
    whole = _cache(backbone, files, tmp_path / "other")
    whole.fill(batch_size=7)
    wanted = everything(backbone)
    for (_, ours), (_, theirs) in zip(cache.read(wanted), whole.read(wanted), strict=True):
        torch.testing.assert_close(ours.local[False], theirs.local[False], rtol=0, atol=1e-3)


def test_an_entry_is_filled_as_far_as_it_is_wanted(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    opener = Opener()
    cache = _cache(backbone, files, tmp_path / "cache", opener)
    cache.fill([5, 1])
    assert opener.opened == ["1.jpg", "5.jpg"]
    assert cache.missing() == [0, 2, 3, 4, 6]
    again = _cache(backbone, files, tmp_path / "cache", opener)  # as another process finds it
    assert again.missing([6, 5]) == [6]
    again.fill([0, 1])
    cache.fill([0, 2])  # the block of 0 and 1 was finished anew meanwhile
    again.fill()
    assert sorted(opener.opened) == [f"{number}.jpg" for number in range(7)]
    whole = _cache(backbone, files, tmp_path / "other")
    whole.fill()
    every = np.arange(7)
    for found, expected in zip(again.take(every), whole.take(every), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    assert _cache(backbone, files, tmp_path / "cache").missing() == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be reserved on this system")
def test_disk_space_is_taken_for_what_is_wanted_before_it_is_encoded(
    backbone: Backbone, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener, reserved = Opener(), list[tuple[int, int]]()
    cache = _cache(backbone, files, tmp_path / "cache", opener)
    size = cache.nbytes // 7
    monkeypatch.setattr(os, "posix_fallocate", lambda _, start, length: reserved.append((start, length)))
    cache.fill([6, 2])
    assert sorted(reserved) == [(2 * size, 2 * size), (6 * size, size)]  # the blocks of 2 and 3, and of 6

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"cannot write the feature cache .*: No space left on device; --cache FOLDER"):
        cache.fill([0])
    assert opener.opened == ["2.jpg", "6.jpg"]


def test_a_block_that_another_process_finished_anew_stays_finished(
    backbone: Backbone, files: list[Path], tmp_path: Path
) -> None:
    first, second = (_cache(backbone, files, tmp_path / "cache") for _ in range(2))
    first.fill([0])
    second.fill([1])  # of the same block of two
    first.fill([4])  # writes an index with all blocks
    assert _cache(backbone, files, tmp_path / "cache").missing() == [2, 3, 5, 6]


def test_rows_are_taken_in_any_order_as_they_are_kept(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    cache = _cache(backbone, files, tmp_path / "cache")
    cache.fill()
    rows, lengths = cache.take(np.array([4, 4, 0]))
    assert (rows.dtype, lengths.tolist()) == (torch.float16, [len(rows) // 3] * 3)
    features = cache.unpack(rows, lengths)
    ((_, expected),) = cache.read(everything(backbone), places=[4, 4, 0])
    assert torch.equal(features.local[False], expected.local[False])
    assert features.local[False].is_contiguous()


KILLED = """
import os, signal, sys
from pathlib import Path
from clipprompt.backbone import load_backbone
from clipprompt.datasets import open_image
from clipprompt.features import image_cache
folder, pictures, cache = sys.argv[1:]
backbone = load_backbone(folder, device="cpu")
image_cache._BLOCK_BYTES = 1
def opener(path):
    if path.name == "4.jpg":
        os.kill(os.getpid(), signal.SIGKILL)
    return open_image(path)
files = sorted(Path(pictures).glob("*.jpg"))
image_cache.ImageCache(backbone, files, opener, Path(cache), "whole").fill(batch_size=1, workers=0)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_extraction_goes_on(
    backbone: Backbone, tiny_folder: Path, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-c", KILLED, str(tiny_folder), str(files[0].parent), str(tmp_path / "cache")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    monkeypatch.setattr(image_cache, "_BLOCK_BYTES", 1)
    again = load_backbone(str(tiny_folder), device="cpu")
    cache = _cache(again, files, tmp_path / "cache")
    assert cache.missing() == [4, 5, 6]
    cache.fill()  # the killed process does not hold its lock
    assert cache.missing() == []


BESIDE = """
import sys, time
from pathlib import Path
from clipprompt.backbone import load_backbone
from clipprompt.datasets import open_image
from clipprompt.features import image_cache
folder, pictures, cache, log = sys.argv[1:]
image_cache._BLOCK_BYTES = 1
def opener(path):
    with open(log, "a") as file:
        file.write(path.name + "\\n")
    time.sleep(0.2)
    return open_image(path)
files = sorted(Path(pictures).glob("*.jpg"))
entry = image_cache.ImageCache(load_backbone(folder, device="cpu"), files, opener, Path(cache), "whole", ())
print("ready", flush=True)
sys.stdin.readline()
entry.fill(batch_size=1, workers=0)
print(len(entry.missing()), flush=True)
"""


def test_two_processes_that_want_the_same_entry_encode_each_picture_once(
    tiny_folder: Path, files: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("fcntl")
    log = tmp_path / "opened.txt"
    words = [sys.executable, "-c", BESIDE, str(tiny_folder), str(files[0].parent), str(tmp_path / "cache"), str(log)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(words, text=True, **pipes) for _ in range(2)]
    for process in both:  # both have seen that nothing is there
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=120) for process in both]
    assert [out for out, _ in ends] == ["0\n", "0\n"], ends
    assert log.read_text().split() == [path.name for path in files]
    assert sum("waiting for another process" in err for _, err in ends) == 1


def test_what_was_damaged_while_waiting_is_encoded_again(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    late = _cache(backbone, files, tmp_path / "cache")
    early = _cache(backbone, files, tmp_path / "cache")
    early.fill()
    _flip(early.folder / "rows.bin")
    late.fill()
    assert _cache(backbone, files, tmp_path / "cache").missing() == []


def test_pooled_features_alone_take_no_room_for_places(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    bare, dense = (_cache(backbone, files, tmp_path, places=places) for places in ((), (False,)))
    for entry in (bare, dense):
        entry.fill()
    assert (bare.folder / "rows.bin").stat().st_size == len(files) * 2 * backbone.embed_dim * 2
    wanted = everything(backbone, ())
    for (_, ours), (_, theirs) in zip(bare.read(wanted), dense.read(wanted), strict=True):
        assert ours.local == {}
        for kind in wanted.pools:
            torch.testing.assert_close(ours.pooled[kind], theirs.pooled[kind], rtol=0, atol=1e-3)


def test_some_images_of_an_entry_are_read_in_any_order(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    files[4].write_bytes(b"no picture")
    cache = _cache(backbone, files, tmp_path, places=())
    cache.fill()
    wanted = everything(backbone, ())
    ((_, whole),) = cache.read(wanted)  # six of seven
    places = cache.places_of([files[6], files[4], files[0], files[2]])
    assert places == [6, 4, 0, 2]
    found = list(cache.read(wanted, 2, places))
    assert [seen for seen, _ in found] == [[6], [0, 2]]
    some = torch.cat([features.pooled[True] for _, features in found])
    assert torch.equal(some, whole.pooled[True][[5, 0, 2]])


def _cut(rows: Path) -> None:
    os.truncate(rows, rows.stat().st_size - 1000)


def _flip(rows: Path) -> None:
    content = bytearray(rows.read_bytes())
    content[10] ^= 0xFF
    rows.write_bytes(content)


@pytest.mark.parametrize(("damage", "again"), [(_cut, [6]), (_flip, [0, 1])])
def test_a_damaged_entry_is_noticed_and_mended(
    backbone: Backbone, files: list[Path], tmp_path: Path, damage: Callable[[Path], None], again: list[int]
) -> None:
    first = _cache(backbone, files, tmp_path / "cache")
    first.fill()
    damage(first.folder / "rows.bin")
    second = _cache(backbone, files, tmp_path / "cache")
    assert second.missing() == again
    second.fill()
    assert _cache(backbone, files, tmp_path / "cache").missing() == []


def test_an_entry_without_its_index_is_made_again(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    first = _cache(backbone, files, tmp_path / "cache")
    first.fill()
    (first.folder / "blocks.json").write_text("{")
    assert len(_cache(backbone, files, tmp_path / "cache").missing()) == 7


def test_another_file_list_or_content_is_another_entry(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "cache"
    first = _cache(backbone, files, place).folder
    assert _cache(backbone, files, place).folder == first
    others = {_cache(backbone, files[:6], place).folder, _cache(backbone, files[::-1], place).folder}
    others.add(ImageCache(backbone, files, Opener(), place, "draft").folder)
    Image.new("RGB", (50, 50)).save(files[3])
    others.add(_cache(backbone, files, place).folder)
    status = files[3].stat()
    os.utime(files[3], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    others.add(_cache(backbone, files, place).folder)
    assert len(others | {first}) == 6


def test_other_weights_or_transform_are_another_entry(
    backbone: Backbone, tiny_folder: Path, files: list[Path], tmp_path: Path
) -> None:
    place = tmp_path / "cache"
    first = _cache(backbone, files, place).folder
    larger = load_backbone(str(tiny_folder), device="cpu", image_size=2 * backbone.image_size)
    rounded = load_backbone(str(tiny_folder), device="cpu", precision="bf16")
    changed = load_backbone(str(tiny_folder), device="cpu")
    changed.model.visual.conv1.weight.data += 1
    assert len({first, *(_cache(other, files, place).folder for other in (larger, rounded, changed))}) == 4


def test_unreadable_files_are_named_every_time(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    files[2].write_bytes(b"no picture")
    for _ in range(2):
        cache = _cache(backbone, files, tmp_path / "cache")
        cache.fill(batch_size=2)
        ((place, reason),) = cache.unreadable()
        assert place == 2
        assert "2.jpg" in str(reason)
        assert [n for places, _ in cache.read(everything(backbone), 3) for n in places] == [0, 1, 3, 4, 5, 6]


def test_a_file_that_can_be_read_again_is_read(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    def refuse(path: Path) -> Image.Image:
        if path.name in ("2.jpg", "6.jpg"):
            raise UserError(f"cannot read image {path}: permission denied")
        return open_image(path)

    first = ImageCache(backbone, files, refuse, tmp_path / "cache", "whole")
    first.fill()
    assert [place for place, _ in first.unreadable()] == [2, 6]
    opener = Opener()
    second = _cache(backbone, files, tmp_path / "cache", opener)
    second.fill()
    assert opener.opened == ["2.jpg", "6.jpg"]
    assert second.unreadable() == []
    assert [n for places, _ in second.read(everything(backbone), 3) for n in places] == list(range(7))
    assert _cache(backbone, files, tmp_path / "cache").missing() == []


def test_features_that_are_no_numbers_are_not_taken_for_a_broken_file(
    backbone: Backbone, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = backbone.vision.trunk
    monkeypatch.setattr(backbone.vision, "trunk", lambda images: trunk(images * torch.nan))
    cache = _cache(backbone, files, tmp_path / "cache")
    cache.fill()
    assert cache.unreadable() == []
    assert all(features.local[False].isnan().all() for _, features in cache.read(everything(backbone)))


def test_blocks_of_a_small_model_hold_few_images(
    backbone: Backbone, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "_BLOCK_BYTES", 1e9)
    monkeypatch.setattr(image_cache, "_BLOCK_IMAGES", 3)
    with pytest.raises(KeyboardInterrupt):
        _cache(backbone, files, tmp_path / "cache", Opener(stop_after=5)).fill(batch_size=1, workers=0)
    assert _cache(backbone, files, tmp_path / "cache").missing() == [3, 4, 5, 6]


def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(
    backbone: Backbone, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the feature cache .*file.*--no-cache does without"):
        _cache(backbone, files, tmp_path / "file")


def test_a_backbone_without_transform_is_refused(backbone: Backbone, files: list[Path], tmp_path: Path) -> None:
    bare = copy(backbone)
    bare.preprocess = None
    with pytest.raises(UserError, match="has no image transform"):
        _cache(bare, files, tmp_path)


def test_the_place_of_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPPROMPT_CACHE", str(tmp_path / "mine"))
    assert default_cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("CLIPPROMPT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "clipprompt"

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tools.bench import images


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(images, "WORKERS", 0)
    monkeypatch.setattr(images, "_PHOTOS", tmp_path / "missing")
    monkeypatch.setattr(images, "scene_split", lambda split, n: real(split, 3))
    paths, source = images.find_photos(tmp_path)
    assert (len(paths), source) == (3, "80 drawn scenes with noise")
    return paths


real = images.scene_split


def test_both_sides_compute_the_same_features(photos: list[Path]) -> None:
    plain, ours = images._plain_features("mini", photos, False)(), images._our_features("mini", photos, False)()
    assert isinstance(plain, torch.Tensor)
    assert isinstance(ours, torch.Tensor)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-4)


def test_both_sides_tag_every_photo(photos: list[Path]) -> None:
    tags = images._plain_tags("mini", photos, False)()
    assert isinstance(tags, list)
    assert len(tags) == images._our_tags("mini", photos, False)() == 3

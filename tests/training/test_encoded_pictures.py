"""Pictures that are encoded once, for all runs that see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.config import DataConfig, RunConfig, load_config
from clipprompt.learners import create_learner
from clipprompt.training import _unreadable
from clipprompt.training.data import FeatureData
from clipprompt.training.encoded_pictures import encode_pictures
from clipprompt.training.image_data import Pictures
from clipprompt.training.labelled_images import load_labelled_images
from clipprompt.training.run import run_training
from tests.conftest import _tiny
from tests.golden import tiny_clip
from tests.training._worker import write_photos

CLASSNAMES = ("cat", "dog", "red_bus")
N_PHOTOS = 12


@pytest.fixture
def backbone(monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """One of each test's own, so that nothing is kept for it yet."""
    made = _tiny("tiny_rn_open_clip.json", tiny_clip.tiny_rn_state_dict)
    made.preprocess = ImageTransform(image_transform(64, is_train=False))
    monkeypatch.setattr("clipprompt.training.run.load_backbone", lambda *_, **__: made)
    return made


@pytest.fixture
def encoded(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images of each pass of the tower."""
    seen, trunk = list[int](), backbone.vision.trunk

    def count(images: torch.Tensor) -> object:
        seen.append(len(images))
        return trunk(images)

    monkeypatch.setattr(backbone.vision, "trunk", count)
    return seen


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Photos of one label or two."""
    write_photos(tmp_path / "photos", CLASSNAMES)
    rows = [f"photos/{kind}/{n}.jpg,{kind}{'|night' if n > 1 else ''}" for kind in CLASSNAMES for n in range(4)]
    (tmp_path / "table.csv").write_text("\n".join(["path,labels", *rows, ""]))
    return tmp_path / "table.csv"


@pytest.fixture
def configure(backbone: Backbone, table: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    def make(*settings: str, method: str = "dualcoop", dataset: str = str(table)) -> RunConfig:
        small = ["n_ctx=2", "epochs=1", "batch_size=4", "data.augment=none"]
        return load_config(method, [f"data.dataset={dataset}", f"data.cache={tmp_path / 'kept'}", *small, *settings])

    return make


def test_runs_of_other_labels_seeds_and_methods_read_one_entry(
    configure: Callable[..., RunConfig], encoded: list[int], tmp_path: Path
) -> None:
    runs = [
        configure("known=0.8", "train.select=val_map", "val_fraction=0.4", method="caption_dual"),
        configure("known=0.7", "seed=2", method="caption_dual"),
        configure("keep_empty=true", "seed=3", "train.select=val_loss", "val_fraction=0.4", method="tai_dpt"),
        configure("known=single-positive", method="caption_dual"),
    ]
    for number, config in enumerate(runs):
        run_training(config, tmp_path / str(number))
    assert sum(encoded) == N_PHOTOS
    assert len(list((tmp_path / "kept").iterdir())) == 1
    run_training(configure("known=0.5"), tmp_path / "dualcoop")  # which reads other places
    assert sum(encoded) == 2 * N_PHOTOS
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_shots_encode_what_no_other_run_has(
    configure: Callable[..., RunConfig], encoded: list[int], tmp_path: Path
) -> None:
    seen = set[str]()
    for seed in (1, 2, 3):
        config = configure("shots=1", f"seed={seed}")
        seen |= {*load_labelled_images(config).images.ids}
        run_training(config, tmp_path / str(seed))
        assert sum(encoded) == len(seen)
    run_training(configure("shots=2", "train.select=val_map"), tmp_path / "more")
    run_training(configure(), tmp_path / "all")
    assert sum(encoded) == N_PHOTOS
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_drawn_pictures_are_shared_too(configure: Callable[..., RunConfig], encoded: list[int], tmp_path: Path) -> None:
    for number, settings in enumerate((["known=0.5"], ["known=0.1", "seed=2"])):
        run_training(configure("n_images=9", *settings, dataset="mini"), tmp_path / str(number))
    assert sum(encoded) == 9


@pytest.mark.parametrize("cache", [True, False])
def test_pictures_that_are_held_out_lie_in_the_same_entry(
    cache: bool, configure: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def record(learner: Any, data: Any, config: Any, **options: Any) -> Any:
        seen.update(data=data, validation=options["validation"])
        raise KeyboardInterrupt

    monkeypatch.setattr("clipprompt.training.run.train", record)
    with pytest.raises(KeyboardInterrupt):
        run_training(configure("train.select=val", *([] if cache else ["data.cache=none"])), tmp_path / "run")
    data, validation = seen["data"], seen["validation"]
    assert data.cache is validation.cache
    assert data.cache.is_on_disk
    assert {*data.items}.isdisjoint(validation.items)
    assert len(data) + len(validation) == N_PHOTOS
    folders = [len(list(place.glob("features-*"))) for place in (tmp_path / "kept", tmp_path / "run" / "cache")]
    assert folders == ([1, 0] if cache else [0, 1])


def test_pictures_that_were_encoded_are_not_looked_through_again(
    configure: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = list[int]()
    decode = _unreadable.decode_in_order
    monkeypatch.setattr(
        _unreadable, "decode_in_order", lambda numbers, *a, **o: (looked.extend(numbers), decode(numbers, *a, **o))[1]
    )
    photos = tmp_path / "photos"
    (photos / "cat" / "0.jpg").write_bytes(b"no picture")
    first = run_training(configure("known=0.9"), tmp_path / "first")
    n_looked = len(looked)
    second = run_training(configure("known=0.9"), tmp_path / "second")
    assert first is not None
    assert second is not None
    assert len(first.skipped) == 1
    assert second.skipped == first.skipped
    assert len(looked) == n_looked + 1  # what could not be read is tried again
    same = [tmp_path / name / "prompt.safetensors" for name in ("first", "second")]
    assert same[0].read_bytes() == same[1].read_bytes()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_are_the_learners_own(
    dtype: Any, backbone: Backbone, configure: Callable[..., RunConfig], tmp_path: Path
) -> None:
    images = load_labelled_images(configure()).images
    learner = create_learner("dualcoop", backbone, images.classnames, n_ctx=2)
    options = DataConfig(cache=str(tmp_path / "kept"), cache_dtype=dtype)
    pictures = Pictures(images, np.array([1, 2, 5]))
    (data,) = encode_pictures(learner, [pictures], options)
    assert isinstance(data, FeatureData)
    features, labels = data.take(np.array([2, 0]))
    assert backbone.preprocess is not None
    expected = learner.encode_images(torch.stack([backbone.preprocess(images[number]) for number in (5, 1)]))
    tolerance = 1e-3 if dtype == "float16" else 2e-6
    torch.testing.assert_close(features.local, expected.local, rtol=0, atol=tolerance)
    torch.testing.assert_close(features.global_, expected.global_, rtol=0, atol=tolerance)
    assert labels.tolist() == images.targets[[5, 1]].tolist()

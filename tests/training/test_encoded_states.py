"""States of a frozen part of the image tower, computed once, against those that are computed at every step."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image

from clipprompt.backbone import Backbone, ImageTransform
from clipprompt.config import DataConfig, TrainConfig, load_config
from clipprompt.datasets import MultiLabelImages
from clipprompt.errors import UserError
from clipprompt.evaluation.job_tests.one_pass import Evaluation, score_part
from clipprompt.evaluation.scoring import score_images
from clipprompt.features.layouts import StateLayout
from clipprompt.features.shared import shared_features
from clipprompt.learners import Learner, create_learner
from clipprompt.learners._base import ImageStates
from clipprompt.training.encoded_pictures import encode_pictures
from clipprompt.training.encoded_views import encode_views
from clipprompt.training.image_data import ImageData, Pictures
from clipprompt.training.loop import train
from clipprompt.training.seen_pictures import check_views, see
from tests.conftest import _tiny
from tests.golden import tiny_clip
from tests.training.conftest import prompts

CLASSNAMES = ("cat", "dog", "traffic light")
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("linear", {}),
    "linear over all tokens": ("linear", {"pool": "all"}),
    "mlp": ("mlp", {}),
    "the last block": ("partial", {"n_blocks": 1}),
    "the last two blocks": ("partial", {"n_blocks": 2}),
    "prompts from the second layer on": ("vpt_head", {"n_ctx": 2, "first_layer": 1}),
}
CONFIG = TrainConfig(epochs=2, batch_size=3, lr=0.05, warmup_lr=0.05)
FLOAT32 = DataConfig(cache_dtype="float32", workers=0)


def paint(number: int) -> Image.Image:
    noise = np.random.default_rng(number).integers(0, 256, (9 + number, 14, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((90, 70))


class Painter:
    """Pictures of noise, and how often each was asked for."""

    def __init__(self) -> None:
        self.opened = list[int]()

    def __call__(self, number: int) -> Image.Image:
        self.opened.append(number)
        return paint(number)


@pytest.fixture
def backbone(tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """The tiny CLIP with open_clip's transform for its image size."""
    monkeypatch.setattr(tiny_vit_backbone, "preprocess", ImageTransform(image_transform(64, is_train=False)))
    return tiny_vit_backbone


@pytest.fixture
def make(backbone: Backbone) -> Callable[..., Learner]:
    def create(name: str = "linear", seed: int = 1) -> Learner:
        method, options = CASES[name]
        return create_learner(method, backbone, CLASSNAMES, seed=seed, **options)

    return create


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def pictures(painter: Painter) -> Pictures:
    targets = np.eye(3, dtype=np.int8)[[0, 1, 2, 0, 1, 2, 1]]
    ids = tuple(str(number) for number in range(7))
    return Pictures(MultiLabelImages("painted", list(range(7)), CLASSNAMES, targets, ids, painter), np.arange(7))


def of_files(folder: Path) -> MultiLabelImages:
    """Four pictures in files."""
    folder.mkdir()
    for number in range(4):
        paint(number).save(folder / f"{number}.png")
    targets = np.eye(3, dtype=np.int8)[[0, 1, 2, 0]]
    return MultiLabelImages("files", sorted(folder.iterdir()), CLASSNAMES, targets, ("a", "b", "c", "d"))


def assert_same_prompts(first: Learner, second: Learner, tolerance: float = 1e-6) -> None:
    expected = prompts(second)
    for name, value in prompts(first).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_training_on_kept_states_is_training_on_images(
    name: str, make: Callable[..., Learner], pictures: Pictures, painter: Painter
) -> None:
    on_images, on_states = make(name), make(name)
    train(on_images, ImageData(on_images.backbone, pictures, augment=False, workers=0), CONFIG)
    (data,) = encode_pictures(on_states, [pictures], FLOAT32)
    painter.opened.clear()
    train(on_states, data, CONFIG)
    assert painter.opened == []
    assert_same_prompts(on_states, on_images)


@pytest.mark.parametrize("name", ["linear", "the last block"])
def test_training_on_kept_views_is_training_on_fresh_ones(
    name: str, make: Callable[..., Learner], pictures: Pictures, tmp_path: Path
) -> None:
    fresh, kept = make(name), make(name)
    train(fresh, ImageData(fresh.backbone, pictures, workers=0), CONFIG)
    views = encode_views(kept, pictures, FLOAT32, n_views=CONFIG.epochs, seed=CONFIG.seed, folder=tmp_path)
    assert views.cache.is_on_disk
    train(kept, views, CONFIG)
    assert_same_prompts(kept, fresh)


def test_learners_and_seeds_with_the_same_part_share_its_entry(make: Callable[..., Learner], tmp_path: Path) -> None:
    images = of_files(tmp_path / "photos")
    options = FLOAT32.model_copy(update={"cache": str(tmp_path / "kept")})
    for name, n_entries in (("linear", 1), ("mlp", 1), ("the last block", 2), ("linear over all tokens", 3)):
        for seed in (1, 2):
            (data,) = encode_pictures(make(name, seed), [Pictures(images, np.arange(4))], options)
            assert len(data) == 4
            assert len(list((tmp_path / "kept").iterdir())) == n_entries


@pytest.mark.parametrize(("name", "n_images"), [("linear", 7), ("the last block", 3)])
def test_states_of_all_tokens_take_room_for_the_pictures_at_hand_alone(
    name: str, n_images: int, make: Callable[..., Learner], pictures: Pictures, tmp_path: Path
) -> None:
    learner, some, pool = make(name), [0, 2, 5], replace(pictures.images, open_item=paint)
    drawn = Pictures(pool.subset(some), np.arange(3), pool)
    (data,) = encode_pictures(learner, [drawn], FLOAT32.model_copy(update={"cache": str(tmp_path)}))
    (whole,) = encode_pictures(make(name), [pictures], FLOAT32)
    assert data.cache.nbytes == n_images * StateLayout.of(learner).nbytes("float32")
    found, expected = data.take(np.arange(3)), whole.take(np.array(some))
    torch.testing.assert_close(found[0].values, expected[0].values, rtol=0, atol=1e-5)
    assert found[1].tolist() == expected[1].tolist()


def test_a_computation_that_was_cut_off_goes_on_where_it_was(
    make: Callable[..., Learner], pictures: Pictures, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipprompt.features.image_cache._BLOCK_IMAGES", 2)
    done = list[int]()

    def stop() -> None:
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_pictures(make("the last block"), [pictures], FLOAT32, folder=tmp_path, after_batch=stop)
    painter.opened.clear()
    (data,) = encode_pictures(make("the last block"), [pictures], FLOAT32, folder=tmp_path)
    assert set(painter.opened) == {6}
    (whole,) = encode_pictures(make("the last block"), [pictures], FLOAT32)
    for one, other in zip(data.in_order(7), whole.in_order(7), strict=True):
        torch.testing.assert_close(one[0].values, other[0].values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("settings", [["augment=none"], ["augment=crop_flip", "train.views=2"]])
def test_what_states_will_take_is_said_before_they_are_computed(
    settings: list[str], make: Callable[..., Learner], pictures: Pictures, painter: Painter, tmp_path: Path
) -> None:
    learner, said = make("the last block"), list[str]()
    values = learner.encode_images(torch.zeros(1, 3, 64, 64)).values
    assert values.dim() == 3
    config = load_config("partial", ["epochs=3", "data.workers=0", *settings])

    def tell(message: str) -> None:
        assert painter.opened == []
        said.append(message)

    see(learner, pictures, None, config, tmp_path, lambda: None, tell)
    n_bytes, n_views = 2 * values.numel(), 2 if config.train.views else 1
    before = f"States before-{StateLayout.of(learner).part.partition('-')[2]}"
    assert said == [
        f"{before}: {n_bytes / 1e3:.3g} kB a picture as float16, {7 * n_views * n_bytes / 1e3:.3g} kB in {tmp_path}, "
        "computed once"
    ]


@pytest.mark.parametrize("settings", [["augment=none"], ["augment=crop_flip", "train.views=2"]])
def test_too_small_a_disk_is_told_before_anything_is_computed(
    settings: list[str],
    make: Callable[..., Learner],
    pictures: Pictures,
    painter: Painter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    config = load_config("partial", ["epochs=3", "data.workers=0", *settings])
    with pytest.raises(UserError, match=r"kB are needed there, and 100 bytes are free; .*data\.cache=FOLDER"):
        see(make("the last block"), pictures, None, config, tmp_path, lambda: None)
    assert painter.opened == []


@pytest.mark.parametrize("views", [0, 1])
def test_states_beyond_float16_are_not_kept_as_float16(
    views: int, make: Callable[..., Learner], pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = make("the last block")
    encode = type(learner).encode_images

    def far(self: Learner, images: torch.Tensor) -> ImageStates:
        states: Any = encode(self, images)
        return states._replace(values=states.values * 1e9)

    monkeypatch.setattr(type(learner), "encode_images", far)
    options = DataConfig(workers=0)
    encoders = {0: encode_pictures, 1: partial(encode_views, n_views=1)}
    shown: Any = pictures if views else [pictures]
    with pytest.raises(UserError, match=r"before-\d: .* is too large for float16; .*data\.cache_dtype=float32"):
        encoders[views](learner, shown, options, folder=tmp_path)
    encoders[views](learner, shown, FLOAT32, folder=tmp_path)


def test_states_come_back_in_the_towers_own_type(make: Callable[..., Learner], pictures: Pictures) -> None:
    layout = StateLayout.of(make("the last block"))
    assert layout.dtype == torch.float32
    half = replace(layout, dtype=torch.bfloat16)
    assert half.decode(torch.zeros(2, half.n_rows, half.width)).values.dtype == torch.bfloat16


def test_a_learner_of_the_whole_tower_keeps_nothing(backbone: Backbone, pictures: Pictures, tmp_path: Path) -> None:
    learner = create_learner("bias", backbone, CLASSNAMES)
    data, _ = see(learner, pictures, None, load_config("bias", ["augment=none"]), tmp_path, lambda: None)
    assert isinstance(data, ImageData)
    config = load_config("bias", ["train.views=2"])
    with pytest.raises(UserError, match=r"train\.views=2 keeps features .* but bias learns in the image tower"):
        check_views(learner, config)


def test_states_in_memory_go_with_their_backbone(painter: Painter) -> None:
    backbone = _tiny("tiny_vit_open_clip.json", tiny_clip.tiny_vit_state_dict)
    backbone.preprocess = ImageTransform(image_transform(64, is_train=False))
    learner = create_learner("linear", backbone, CLASSNAMES)
    shared_features(backbone, range(3), painter, StateLayout.of(learner), workers=0)
    shared_features(backbone, range(3), painter, StateLayout.of(learner), workers=0)
    assert sorted(painter.opened) == [0, 1, 2]
    gone = weakref.ref(backbone)
    del backbone, learner
    gc.collect()
    assert gone() is None


def test_learners_that_are_scored_together_share_states(
    make: Callable[..., Learner], backbone: Backbone, pictures: Pictures, painter: Painter
) -> None:
    learners = {"a": make(seed=1), "b": make(seed=2), "c": make("mlp"), "d": make("the last block")}
    alone = {name: score_images({name: one}, pictures.images, workers=0).by_key for name, one in learners.items()}
    together = score_images(learners, pictures.images, workers=0).by_key
    for name, scores in together.items():
        np.testing.assert_allclose(scores["global"], alone[name][name]["global"], rtol=0, atol=1e-5)
    pooled = {name: one for name, one in learners.items() if name != "d"}
    kept = shared_features(backbone, pictures.images.items, painter, StateLayout.of(learners["a"]), workers=0)
    painter.opened.clear()
    scored = score_images(pooled, pictures.images, kept=kept).by_key
    assert painter.opened == []
    for name, scores in scored.items():
        np.testing.assert_allclose(scores["global"], together[name]["global"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("cached", [False, True])
def test_tests_of_learners_and_seeds_read_what_the_first_left(
    cached: bool, make: Callable[..., Learner], pictures: Pictures, painter: Painter, tmp_path: Path
) -> None:
    how, images = Evaluation(cache=tmp_path if cached else None, workers=0), pictures.images
    for number, (name, seed) in enumerate((("linear", 1), ("linear", 2), ("mlp", 1))):
        learner = make(name, seed)
        scored, is_rounded = score_part({name: learner}, images, images.items, how, "noise")
        assert (len(painter.opened), is_rounded) == (7 * (number == 0), False)
        painter.opened.clear()
        expected = score_images({name: learner}, images, workers=0).by_key[name]["global"]
        painter.opened.clear()
        np.testing.assert_allclose(scored.by_key[name]["global"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "n_entries"), [("mlp", 1), ("the last block", 0)])
def test_scores_of_files_keep_pooled_states_and_no_others(
    name: str, n_entries: int, make: Callable[..., Learner], tmp_path: Path
) -> None:
    learners, images = {"one": make(name, 1), "other": make(name, 2)}, of_files(tmp_path / "photos")
    (tmp_path / "kept").mkdir()
    kept = score_images(learners, images, workers=0, cache=tmp_path / "kept").by_key
    assert len(list((tmp_path / "kept").iterdir())) == n_entries
    for key, scores in score_images(learners, images, workers=0).by_key.items():
        np.testing.assert_allclose(kept[key]["global"], scores["global"], rtol=0, atol=1e-2)

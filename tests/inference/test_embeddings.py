from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clipprompt import load_backbone
from clipprompt.backbone import Backbone
from clipprompt.cli import main
from clipprompt.errors import UserError
from clipprompt.inference.embeddings import embed_pictures, separation, to_plane
from clipprompt.learners import Learner, create_learner
from clipprompt.reports.drawing.embeddings import class_styles

CLASSES = ("cat", "dog")


@pytest.fixture(scope="module")
def mini() -> Backbone:
    return load_backbone("mini-vit", device="cpu")


def square(shade: int) -> Image.Image:
    if shade < 0:
        raise UserError("no picture")
    return Image.new("RGB", (64, 64), (shade, 255 - shade, 128))


def embedded(learner: Learner, shades: tuple[int, ...] = (10, 90, 200)) -> Any:
    return embed_pictures(learner, shades, square, workers=0)


def pixels(mini: Backbone, shades: tuple[int, ...] = (10, 90, 200)) -> torch.Tensor:
    assert mini.preprocess is not None
    return torch.stack([mini.preprocess(square(shade)) for shade in shades])


# ---- embeddings


def test_a_head_reads_what_is_embedded(mini: Backbone) -> None:
    learner: Any = create_learner("vpt_head", mini, CLASSES, n_ctx=2)
    pair = embedded(learner).pair
    with torch.no_grad():
        logits = learner.head(torch.from_numpy(pair.with_))
        assert logits == pytest.approx(learner(pixels(mini)), abs=1e-4)
        frozen = mini.vision.final(mini.vision.trunk(pixels(mini)))
    assert torch.from_numpy(pair.without) == pytest.approx(frozen, abs=1e-5)


def test_prompts_beside_a_text_classifier_are_compared_before_the_cosines(mini: Backbone) -> None:
    learner = create_learner("vpt", mini, CLASSES, n_ctx=2, depth=2)
    pair = embedded(learner).pair
    assert np.linalg.norm(pair.with_, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert np.abs(pair.with_ - pair.without).max() > 1e-3


def test_an_adapter_behind_the_tower_is_seen(mini: Backbone) -> None:
    learner: Any = create_learner("clip_adapter", mini, CLASSES)
    pair = embedded(learner).pair
    with torch.no_grad():
        features = learner.encode_images(pixels(mini))
        assert torch.from_numpy(pair.with_) == pytest.approx(learner.adapted_features(features), abs=1e-5)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("coop", "coop learns nothing of the image side"),
        ("zero_shot", "zero_shot learns nothing of the image side"),
        ("linear", "this linear leaves the embeddings of pictures as they are"),
    ],
)
def test_learner_that_changes_no_embedding_is_refused(mini: Backbone, method: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        embedded(create_learner(method, mini, CLASSES))


def test_unreadable_pictures_are_left_out_and_told(mini: Backbone) -> None:
    found = embedded(create_learner("vpt", mini, CLASSES, n_ctx=1, depth=2), (10, -1, 200))
    assert found.kept == [0, 2]
    assert len(found.pair.with_) == 2
    assert [str(error) for error in found.skipped] == ["no picture"]


def test_no_readable_picture_is_an_error(mini: Backbone) -> None:
    with pytest.raises(UserError, match="none of the 2 pictures can be read, such as: no picture"):
        embedded(create_learner("vpt", mini, CLASSES, n_ctx=1, depth=2), (-1, -2))


# ---- the map and the numbers

BLOBS = np.concatenate([np.random.default_rng(0).normal(5 * c, 0.1, (8, 6)) for c in range(3)]).astype(np.float32)
LABELS = np.repeat(np.arange(3), 8)


def test_map_is_a_function_of_the_seed() -> None:
    assert np.array_equal(to_plane(BLOBS, seed=1), to_plane(BLOBS, seed=1))


def test_classes_that_lie_apart_are_told_by_their_neighbours() -> None:
    found = separation(BLOBS, LABELS)
    assert found.neighbours == 1
    assert found.silhouette is not None
    assert found.silhouette > 0.9
    plane = to_plane(BLOBS, seed=1)
    assert separation(plane, LABELS).neighbours == 1


def test_a_picture_is_not_its_own_neighbour() -> None:
    """Pairs of one point in two classes: the nearest other is always of the wrong one."""
    features = np.repeat(np.arange(3, dtype=np.float32)[:, None] * 100, 2, axis=0)
    assert separation(features[:2], np.array([0, 1])).neighbours == 0


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "a class to each"])
def test_silhouette_is_left_out_where_there_is_none(labels: list[int]) -> None:
    assert separation(BLOBS[:4], np.array(labels)).silhouette is None


@pytest.mark.parametrize(
    ("n", "perplexity", "words"),
    [(3, None, "3 pictures are too few"), (10, 10.0, "perplexity 10 is impossible for 10 pictures: from 1 to 9")],
)
def test_map_that_cannot_be_made_is_refused(n: int, perplexity: float | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        to_plane(BLOBS[:n], seed=1, perplexity=perplexity)


@pytest.mark.parametrize("n", [2, 7, 8, 24, 100, 200])
def test_every_class_looks_different(n: int) -> None:
    looks = class_styles([str(place) for place in range(n)])
    assert len(set(looks.values())) == n


# ---- the command


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["clipprompt", "embeddings", *arguments])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0)


@pytest.fixture(scope="module")
def prompt(mini: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompt")
    create_learner("vpt_head", mini, CLASSES, n_ctx=2).save(folder)
    return folder


def test_picture_table_and_numbers(
    prompt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "map.png"
    assert run(monkeypatch, str(prompt), "-d", "mini-objects", "--max-images", "12", "-o", str(path)) == 0
    out = capsys.readouterr().out
    assert "5-NN accuracy" in out
    assert path.stat().st_size > 5_000
    rows = list(csv.DictReader((tmp_path / "map.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 12
    assert list(rows[0]) == ["path", "class", "without_x", "without_y", "with_x", "with_y"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-d mini-objects -o map.jpg", "its ending must be one of png, pdf, svg"),
        ("-d mini-objects -o map.png --part tset", "'tset'"),
        ("-d nowhere -o map.png", "unknown dataset 'nowhere'"),
        ("-d vtab-natural -o map.png", "--dataset vtab-natural is 7 sets; give one"),
        ("-d mini-objects -o map.png --max-images 8 --perplexity 8", "perplexity 8 is impossible for 8 pictures"),
    ],
)
def test_bad_input_is_one_line(
    prompt: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, str(prompt), *arguments.split()) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
    assert not list(tmp_path.iterdir())

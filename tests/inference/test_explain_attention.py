from __future__ import annotations

import json
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
from clipprompt.inference.explain_attention import LayerAttention, PictureAttention, explain_attention
from clipprompt.learners import Learner, create_learner
from tests.reports._pages import Page, assert_self_contained

CLASSES = ("cat", "dog")


@pytest.fixture(scope="module")
def mini() -> Backbone:
    return load_backbone("mini-vit", device="cpu")


@pytest.fixture(scope="module")
def folder(mini: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, a file that is none, and prompts: head (vpt_head with 3 prompts), late (from layer 2), linear."""
    found = tmp_path_factory.mktemp("looks")
    for name, colour in (("red.png", (200, 30, 30)), ("blue.png", (30, 30, 200))):
        Image.new("RGB", (90, 70), colour).save(found / name)
    (found / "broken.png").write_bytes(b"\x89PNG")
    create_learner("vpt_head", mini, CLASSES, n_ctx=3).save(found / "head")
    create_learner("vpt_head", mini, CLASSES, n_ctx=3, first_layer=2).save(found / "late")
    create_learner("linear", mini, CLASSES).save(found / "linear")
    return found


def looked(learner: Learner, path: Path, **more: Any) -> PictureAttention:
    (found,) = explain_attention(learner, [path], **more)
    assert isinstance(found, PictureAttention)
    return found


@pytest.mark.parametrize(
    ("method", "options", "n", "layers"),
    [
        ("vpt", {"n_ctx": 4, "depth": 2}, 4, [0, 1, 2, 3]),
        ("vpt_head", {"n_ctx": 5}, 5, [0, 1, 2, 3]),
        ("vpt_head", {"n_ctx": 2, "first_layer": 2, "depth": 1}, 2, [2, 3]),
        ("ivlp", {"n_ctx_visual": 3, "depth_visual": 2, "depth_text": 2}, 3, [0, 1, 2, 3]),
        ("promptsrc", {"depth_visual": 2, "depth_text": 2}, 4, [0, 1, 2, 3]),
        ("maple", {"depth": 2}, 2, [0, 1, 2, 3]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_prompt_has_a_map_in_every_layer_from_its_first(
    mini: Backbone, folder: Path, method: str, options: dict[str, Any], n: int, layers: list[int]
) -> None:
    found = looked(create_learner(method, mini, CLASSES, **options), folder / "red.png")
    assert [entry.layer for entry in found.layers] == layers
    assert {entry.maps.shape for entry in found.layers} == {(n, 8, 8)}
    assert all((entry.maps >= 0).all() and (entry.shares < 1).all() for entry in found.layers)
    assert found.picture.size == (64, 64)


def test_maps_are_the_prompts_rows_at_the_places_as_mean_over_heads(mini: Backbone, folder: Path) -> None:
    learner: Any = create_learner("vpt_head", mini, CLASSES, n_ctx=3)
    assert mini.preprocess is not None
    pixels = mini.preprocess(Image.open(folder / "red.png").convert("RGB"))[None]
    with torch.no_grad():
        whole = mini.vision.attention(pixels, learner.injected(), 1)[0]
    assert whole.shape[1:] == (1 + 64 + 3, 1 + 64 + 3)
    expected = torch.stack([whole[:, 65 + prompt, 1:65].mean(0).reshape(8, 8) for prompt in range(3)])
    (layer,) = looked(learner, folder / "red.png", layers=[1]).layers
    assert torch.from_numpy(layer.maps) == pytest.approx(expected, abs=1e-6)


def test_learnt_biases_of_the_tower_are_in_force(mini: Backbone, folder: Path) -> None:
    learner: Any = create_learner("vpt_head", mini, CLASSES, n_ctx=2, bias=True, seed=1)
    before = looked(learner, folder / "red.png", layers=[2]).layers[0].maps
    with torch.no_grad():
        for value in learner.weights.values():
            value += torch.linspace(-1, 1, value.numel()).reshape(value.shape)
    assert np.abs(looked(learner, folder / "red.png", layers=[2]).layers[0].maps - before).max() > 1e-4


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("coop", {"n_ctx": 2}),
        ("linear", {}),
        ("vpt_head", {"where": "pad", "n_ctx": 4}),
        ("vpt_head", {"where": "add", "depth": 1}),
    ],
    ids=["text side", "no prompts", "pixels", "added"],
)
def test_learner_without_tokens_is_refused(mini: Backbone, folder: Path, method: str, options: dict[str, Any]) -> None:
    learner = create_learner(method, mini, CLASSES, **options)
    with pytest.raises(UserError, match=f"^{method}.* has no prompt tokens in its image tower; vpt, vpt_head"):
        next(explain_attention(learner, [folder / "red.png"]))


def test_file_that_is_no_picture_is_told_and_the_next_is_read(mini: Backbone, folder: Path) -> None:
    learner = create_learner("vpt_head", mini, CLASSES, n_ctx=1)
    first, second = explain_attention(learner, [folder / "broken.png", folder / "red.png"], layers=[0])
    assert isinstance(first, UserError)
    assert isinstance(second, PictureAttention)


def test_prompts_that_give_the_picture_most_are_the_strongest() -> None:
    maps = np.zeros((4, 1, 1), np.float32)
    maps[:, 0, 0] = (0.2, 0.9, 0.1, 0.5)
    found = PictureAttention("a", Image.new("RGB", (2, 2)), (LayerAttention(0, maps),))
    assert found.strongest(2) == [1, 3]
    assert found.strongest(9) == [0, 1, 2, 3]


# ---- the command


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["clipprompt", "explain", *arguments])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0)


def test_page_is_self_contained(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "look.html"
    assert run(folder, monkeypatch, "head", "red.png", "--attention", "--top", "2", "-o", str(page)) == 0
    text = page.read_text()
    assert_self_contained(Page(text))
    assert text.count('class="map"') == 2 * 4
    assert "1 more is left out (--top)" in text


def test_numbers_come_as_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, monkeypatch, "late", "red.png", "blue.png", "--attention", "-f", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["path"] for entry in found] == ["red.png", "blue.png"]
    assert [one["layer"] for one in found[0]["layers"]] == [2, 3]
    assert np.sum(found[0]["layers"][0]["maps"], axis=(1, 2)) == pytest.approx(found[0]["layers"][0]["shares"])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_picture_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    path = tmp_path / f"look.{ending}"
    assert run(folder, monkeypatch, "late", "red.png", "--attention", "-o", str(path)) == 0
    assert path.stat().st_size > 10_000


def test_picture_that_cannot_be_read_is_skipped_with_exit_code_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, monkeypatch, "late", "broken.png", "none.png", "red.png", "--attention") == 1
    done = capsys.readouterr()
    assert "layer 2" in done.out
    assert "none.png" in done.err
    assert "broken.png" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("head --attention", "--attention needs pictures"),
        ("head red.png", "red.png: a picture is explained with --attention"),
        ("head --layers 1", "--layers 1 has no use without --attention"),
        ("head red.png --attention --labels cat", "captions and labels have no use with it"),
        ("head red.png --attention --layers one", "--layers 'one' is no list of layers"),
        ("head red.png --attention --layers 4", "layer 4 has no prompts: those of this vpt_head are in 0 to 3"),
        ("late red.png --attention --layers 0", "layer 0 has no prompts: those of this vpt_head are in 2 to 3"),
        ("head red.png --attention -f png", "a picture does not go to a terminal"),
        ("head red.png --attention -f hmtl", "unknown format 'hmtl' (did you mean 'html'?)"),
        ("linear red.png --attention", "linear has no prompt tokens in its image tower"),
        ("head broken.png --attention", "no picture can be shown"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    words: str,
) -> None:
    assert run(folder, monkeypatch, *arguments.split()) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("clipprompt: ")
    assert words in last

"""What an exported file gives with open_clip alone is what the learner gives."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import typer
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional as F

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.cli import app, main
from clipprompt.errors import UserError
from clipprompt.learners import DenseLearner, Learner, create_learner
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import sample_scene
from clipprompt.sharing.export import build_classifier, write_classifier
from tests.conftest import Golden, assert_close

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "sharing.md").read_text(encoding="utf-8")
ASSETS = ROOT / "clipprompt" / "mini" / "assets"
NAMES = ["cat", "traffic light", "hot dog", "chair"]


@pytest.fixture(scope="module")
def mini() -> Backbone:
    return load_backbone("mini", device="cpu")


@pytest.fixture(scope="module")
def plain_mini() -> tuple[Any, Any]:
    """The bundled CLIP as anybody loads it: open_clip alone."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{ASSETS}")
    return model.eval(), preprocess


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    return [render_scene(sample_scene(seed), 160) for seed in range(6)]


def exported(learner: Learner, folder: Path) -> dict[str, torch.Tensor]:
    write_classifier(build_classifier(learner), folder / "c.safetensors")
    tensors: dict[str, torch.Tensor] = load_file(folder / "c.safetensors")
    return tensors


def three_lines(tensors: dict[str, torch.Tensor], model: Any, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        features = F.normalize(model.encode_image(images), dim=-1)
        return tensors["logit_scale"] * features @ tensors["class_embeddings"].T


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("coop", {"n_ctx": 4}),
    ("coop", {"n_ctx": 4, "class_specific": True, "class_token_position": "middle"}),
    ("zero_shot", {}),
    ("zero_shot", {"templates": ["a {}.", "the {}."], "centre": True}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_three_lines_of_open_clip_give_the_learners_logits_on_mini(
    name: str, options: dict[str, Any], tmp_path: Path, mini: Backbone, plain_mini: Any, scenes: list[Image.Image]
) -> None:
    model, preprocess = plain_mini
    images = torch.stack([preprocess(scene) for scene in scenes])
    learner = create_learner(name, mini, NAMES, **options)
    with torch.no_grad():
        assert_close(three_lines(exported(learner, tmp_path), model, images), learner(images), 1e-5)


@pytest.mark.parametrize(("name", "options"), [*OPTIONS, ("tai_dpt", {"n_ctx": 4, "logit_scale": 7.0})])
def test_three_lines_give_the_global_logits_on_a_vit(
    name: str, options: dict[str, Any], tmp_path: Path, tiny_vit_backbone: Backbone, inputs: Golden
) -> None:
    learner = create_learner(name, tiny_vit_backbone, NAMES, **options)
    plain = three_lines(exported(learner, tmp_path), tiny_vit_backbone.model, inputs["images_vit"])
    images = inputs["images_vit"]
    with torch.no_grad():
        logits = learner.image_logits(images).global_ if isinstance(learner, DenseLearner) else learner(images)
    assert_close(plain, logits, 1e-5)


def test_tai_dpt_on_a_resnet_needs_the_fourth_line(tmp_path: Path, mini: Backbone, scenes: list[Image.Image]) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{ASSETS}")
    images = torch.stack([preprocess(scene) for scene in scenes])
    learner = create_learner("tai_dpt", mini, NAMES, n_ctx=4)
    assert isinstance(learner, DenseLearner)
    assert not build_classifier(learner).pools_as_clip
    tensors = exported(learner, tmp_path)
    with torch.no_grad():
        logits = learner.image_logits(images).global_
    model.eval()
    assert (three_lines(tensors, model, images) - logits).abs().max() > 1e-2
    model.visual.attnpool.positional_embedding.data.zero_()
    assert_close(three_lines(tensors, model, images), logits, 1e-5)


@pytest.mark.parametrize(
    ("name", "options", "scales"),
    [
        ("tai_dpt", {"spatial_scale_image": 40.0}, (4.0, 40.0)),
        ("tai_dpt", {"learn_scales": True}, (20.085537, 20.085537)),
        ("zero_shot", {}, (None, None)),
        ("zero_shot", {"spatial_scale": 30.0}, (None, 30.0)),
    ],
)
def test_the_local_branch_comes_along(
    name: str,
    options: dict[str, Any],
    scales: tuple[float | None, float | None],
    tmp_path: Path,
    tiny_rn_backbone: Backbone,
) -> None:
    learner = create_learner(name, tiny_rn_backbone, NAMES, **options)
    assert isinstance(learner, DenseLearner)
    tensors = exported(learner, tmp_path)
    assert set(tensors) == {"class_embeddings", "logit_scale", "class_embeddings_local", "spatial_scale"}
    assert (tensors["logit_scale"].item(), tensors["spatial_scale"].item()) == pytest.approx(
        tuple(tiny_rn_backbone.logit_scale if scale is None else scale for scale in scales)
    )
    assert_close(tensors["class_embeddings_local"], learner.local_class_features(), 1e-6)
    assert {(value.dtype, value.requires_grad) for value in tensors.values()} == {(torch.float32, False)}


def test_the_file_says_what_it_is(tmp_path: Path, tiny_vit_backbone: Backbone) -> None:
    names = ["Katze", "Ampel 🚦", 'a "quoted" name']
    write_classifier(build_classifier(create_learner("coop", tiny_vit_backbone, names)), tmp_path / "c.safetensors")
    with safe_open(tmp_path / "c.safetensors", framework="numpy") as file:
        metadata, embeddings = file.metadata(), file.get_tensor("class_embeddings")
    assert json.loads(metadata.pop("classnames")) == names
    assert metadata == {"format": "1", "method": "coop", "backbone": "tiny_vit", "pretrained": "", "image_size": "64"}
    assert embeddings.shape == (3, 64)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "tag", "arguments"),
    [
        ("ViT-B-16", "openai", {"model_name": "ViT-B-16", "pretrained": "openai", "force_quick_gelu": True}),
        ("hf-hub:org/clip", None, {"model_name": "hf-hub:org/clip"}),
        ("ViT-B-16", "random", None),
        ("mini", None, None),
    ],
)
def test_the_file_says_how_open_clip_loads_the_same_model(
    name: str, tag: str | None, arguments: dict[str, Any] | None, tiny_vit_backbone: Backbone
) -> None:
    model, tokenizer = tiny_vit_backbone.model, tiny_vit_backbone.tokenizer
    backbone = Backbone.from_open_clip(model, tokenizer, name=name, pretrained=tag)
    metadata = build_classifier(create_learner("coop", backbone, NAMES)).metadata
    assert (json.loads(metadata["open_clip"]) if "open_clip" in metadata else None) == arguments
    known = inspect.signature(open_clip.create_model_and_transforms).parameters
    assert set(arguments or ()) <= set(known)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cocoop", "judges each image by more than class embeddings"),
        ("tip_adapter", "judges each image by more than class embeddings"),
        ("maple", "changes the image tower"),
    ],
)
def test_what_is_no_classifier_is_refused(name: str, said: str, tiny_vit_backbone: Backbone) -> None:
    learner = create_learner(name, tiny_vit_backbone, NAMES, **({"depth": 2} if name == "maple" else {}))
    with pytest.raises(UserError, match=said):
        build_classifier(learner)


def test_logits_that_are_no_scaled_cosines_are_refused(
    tiny_vit_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = create_learner("coop", tiny_vit_backbone, NAMES)
    monkeypatch.setattr(learner, "logits_from", lambda features: 20 * features.global_ @ learner.class_features().T)
    with pytest.raises(UserError, match="more than one embedding per class and a scale"):
        build_classifier(learner)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, flags=re.DOTALL)


def test_the_python_of_the_document_runs_without_clipprompt(
    tmp_path: Path, mini: Backbone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = [block for block in blocks("python") if "load_file" in block]
    code = code.replace("local-dir:clipprompt/mini/assets", f"local-dir:{ASSETS}")
    assert "import clipprompt" not in code
    assert "from clipprompt" not in code
    learner = create_learner("coop", mini, NAMES)
    write_classifier(build_classifier(learner), tmp_path / "coco.safetensors")
    render_scene(sample_scene(1), 160).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # our own document
    scores = json.loads(capsys.readouterr().out)
    assert list(scores) == NAMES
    assert mini.preprocess is not None
    with torch.no_grad():
        logits = learner(mini.preprocess(Image.open(tmp_path / "photo.jpg"))[None])
    assert_close(torch.tensor([list(scores.values())]), logits, 1e-5)


def test_the_commands_of_the_document_are_understood() -> None:
    group: Any = typer.main.get_command(app)
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        program, name, *arguments = shlex.split(line)
        assert program == "clipprompt"
        group.commands[name].make_context(name, arguments)  # fails on an option that is not there


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["clipprompt", "export", *command.split()])
    try:
        main()
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def folder(mini: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("tai_dpt", "cocoop"):
        create_learner(name, mini, NAMES).save(tmp_path / name)
    create_learner("coop", mini, NAMES, class_specific=True).save(tmp_path / "fixed")
    (tmp_path / "c.safetensors").write_bytes(b"an earlier result")
    return tmp_path


BAD = [
    ("absent --to c.safetensors", "absent is not a prompt folder"),
    ("tai_dpt", "Missing option '--to'"),
    ("tai_dpt --to c.pt", "--to c.pt must end in .safetensors"),
    ("tai_dpt --to c.safetensors --labels voc2008", "voc2007"),
    ("tai_dpt --to c.safetensors --labels cat,cat", "cat"),
    ("tai_dpt --to c.safetensors/d.safetensors", "cannot write c.safetensors/d.safetensors"),
    ("tai_dpt --to c.safetensors --backbone RN5O", "there is no backbone 'RN5O'"),
    ("tai_dpt --to c.safetensors --backbone RN50 --pretrained random", "'ctx' has shape (16, 128)"),
    ("tai_dpt --to c.safetensors --device tpu", "device 'tpu' is not there"),
    ("fixed --to c.safetensors --labels cat,dog", "class-specific contexts were made for 4 classes"),
    ("cocoop --to c.safetensors", "cocoop judges each image by more than class embeddings"),
]


@pytest.mark.parametrize(("command", "said"), BAD, ids=[said for _, said in BAD])
def test_a_mistake_is_one_line_and_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    assert run(command, monkeypatch) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert (folder / "c.safetensors").read_bytes() == b"an earlier result"
    assert not list(folder.glob(".*"))


def test_the_command_says_what_plain_open_clip_gives(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tai_dpt --to c.safetensors -l zebra,okapi", monkeypatch) in (0, None)
    printed = capsys.readouterr()
    assert printed.out == "c.safetensors\n"
    assert "2 classes, embeddings of size 256, for mini" in printed.err
    assert "positional_embedding.data.zero_()" in printed.err
    assert load_file(folder / "c.safetensors")["class_embeddings"].shape == (2, 256)

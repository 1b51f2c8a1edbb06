"""Prompts with a head of their own in the hands of those who use prompts: they work, or say in a line why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from clipprompt.backbone import load_backbone
from clipprompt.cli import app
from clipprompt.errors import UserError
from clipprompt.inference._caption_samples import caption_samples
from clipprompt.inference.calibrating import reference_names
from clipprompt.inference.tagger import Tagger
from clipprompt.learners import Learner, create_learner, load_learner
from clipprompt.sharing._card import write_card
from clipprompt.sharing._outgoing import outgoing_files

NAMES = ["dog", "cat", "bus", "traffic light"]


@pytest.fixture(scope="module")
def trained() -> Learner:
    """A head that was moved from where it started, and has not been trained for long."""
    learner = create_learner("linear", load_backbone("mini-vit", device="cpu"), NAMES)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.normal_(generator=generator)
    return learner


@pytest.fixture
def folder(trained: Learner, tmp_path: Path) -> Path:
    trained.save(tmp_path / "head")
    return tmp_path / "head"


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{colour}.png" for colour in ("red", "green", "blue")]
    for path in found:
        Image.new("RGB", (70, 60), path.stem).save(path)
    return found


@pytest.fixture
def refused() -> Callable[..., str]:
    """Runs a command that is refused; gives its line."""

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert isinstance(result.exception, UserError)
        assert "\n" not in str(result.exception)
        return str(result.exception)

    return run


def test_pictures_are_tagged_with_the_classes_of_the_head(trained: Learner, folder: Path, pictures: list[Path]) -> None:
    whole = {tags.path: {tag.label: tag.score for tag in tags.tags} for tags in Tagger(None, folder).tag(pictures)}
    some = Tagger(trained.backbone, folder, ["Bus", "dog"])
    for tags in some.tag(pictures):
        assert {tag.label for tag in tags.tags} == {"Bus", "dog"}
        for tag in tags.tags:
            assert tag.score == pytest.approx(whole[tags.path][tag.label.lower()], abs=1e-4)


def test_a_calibration_measures_against_all_classes_of_the_head(trained: Learner, folder: Path) -> None:
    learner = load_learner(folder, trained.backbone, ["cat"])
    assert reference_names(learner, ["cat"]) == ("cat", "dog", "bus", "traffic light")


def test_other_classes_are_refused(folder: Path, pictures: list[Path], refused: Callable[..., str]) -> None:
    line = refused("tag", pictures[0], "--prompts", folder, "--labels", "dog,zebra")
    assert line.startswith("'zebra' is none of the 4 classes that linear was trained for")


def test_another_backbone_is_refused(folder: Path, pictures: list[Path], refused: Callable[..., str]) -> None:
    line = refused("tag", pictures[0], "--prompts", folder, "--backbone", "mini")
    assert "'head.weight' has shape (4, 128)" in line
    assert "it was learnt on 'mini-vit'" in line


def test_there_are_no_embeddings_to_export(folder: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    line = refused("export", folder, "--to", tmp_path / "out.safetensors")
    assert line.startswith("linear answers with a head of its own, and has no class embeddings to export")


@pytest.mark.parametrize("more", [(), ("--caption", "a dog on a sofa")])
def test_there_are_no_words_to_explain(folder: Path, refused: Callable[..., str], more: tuple[str, ...]) -> None:
    assert refused("explain", folder, *more).startswith("linear has learnt no words: it answers with a head")


def test_captions_cannot_calibrate_it(trained: Learner) -> None:
    with pytest.raises(UserError, match=r"linear answers for pictures, not for the captions of corpus\.parquet"):
        caption_samples(trained, NAMES, None, "corpus.parquet")  # type: ignore[arg-type]


def test_what_travels_says_that_it_is_a_head(folder: Path) -> None:
    files = outgoing_files(folder, "me/head")
    card = files["README.md"].decode()
    assert "pipeline_tag: image-classification" in card
    assert "A task on a frozen image tower, learnt with `linear`" in card
    assert "clipprompt export" not in card
    assert "other classes" not in card
    prompt = write_card("me/coop", {**json.loads(files["prompt.json"]), "method": "vpt", "options": {}})
    assert "clipprompt export coop" in prompt
    assert "other classes" in prompt

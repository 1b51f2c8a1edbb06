"""Everything in the README is run: its commands on files of the true formats, its Python as it stands.

Weights cannot be fetched in a test: the bundled ``mini`` stands for RN50, and ``mini-vit`` for ViT-B-16.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image

from clipprompt.learners import DenseLearner, load_learner
from tests.command_server import CommandServer
from tests.datasets.classification.archives import fill_hub, hub_archive
from tests.datasets.miniatures import make_coco
from tests.sharing.hub_stand_in import run_hub

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ["train.epochs=1", "data.templates=false"]
BUNDLED = {"RN50": "mini", "ViT-B-16": "mini-vit"}
OF_TIMM = ("--backbone timm:vit_base_patch16_224.orig_in21k", "--backbone timm:test_vit --pretrained random")
FEWER_LAYERS = {"maple": ["learner.depth=2"]}
# Prompts that have learnt nothing cannot be calibrated; these start from words and take a few large steps.
A_START = ["learner.ctx_init_pos=a photo of a", "learner.ctx_init_neg=a photo without", "data.augment=none"]
LEARNS = {"dualcoop": [*A_START, "train.epochs=2", "train.warmup_epochs=0", "train.lr=0.05"]}
QUICK_SWEEP = ["--seeds=1", "--shots=1", "--set=train.epochs=1", "--backbone=mini-vit"]
QUICK_TUNING = ["--seeds=1", "--shares=0.05", "--set=train.epochs=1", "--set=train.warmup_epochs=0"]
QUICK_LABELS = ["--set=train.epochs=1", "--set=data.n_images=400"]


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def _commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in _blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO's files in miniature: captions, instances, pictures; a table of labels; photos; class folders."""
    place = tmp_path_factory.mktemp("readme")
    make_coco(place / "coco", splits={"train": 160, "val": 8}, size=96)
    pictures = sorted((place / "coco" / "val2014").iterdir())
    names = ["person", "bicycle", "car", "dog", "cat"]
    images, captions, table = [], [], ["path,labels"]
    for number, path in enumerate(pictures, 1):
        first, second = names[number % 5], names[(number + 2) % 5]
        images.append({"id": number, "file_name": path.name, "width": 96, "height": 96})
        captions.append({"id": number, "image_id": number, "caption": f"A {first} next to a {second}."})
        table.append(f"{path.relative_to(place)},{first}|{second}")
    (place / "captions_train2014.json").write_text(json.dumps({"images": images, "annotations": captions}))
    (place / "labels.csv").write_text("\n".join(table) + "\n")
    shutil.copytree(place / "coco" / "val2014", place / "photos" / "2014")
    shutil.copy(pictures[0], place / "photos" / "first.jpg")
    for number, path in enumerate(pictures):
        (flower := place / "flowers" / ("rose", "tulip")[number % 2]).mkdir(parents=True, exist_ok=True)
        for turn in (0, 90, 180, 270):
            Image.open(path).rotate(turn).save(flower / f"{turn}-{path.name}")
    return place


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The folder after every command of the README."""
    commands = [command for command in _commands() if command.startswith("clipprompt ")]
    assert len(commands) >= 12
    with run_hub() as hub:
        fill_hub(hub, {"caltech-101.zip": hub_archive("caltech101", folder / "archive")})
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": "", "no_proxy": "127.0.0.1"}
        with CommandServer(folder, environment) as server:
            for command in commands:
                words = _as_tested(command)
                code, stdout, stderr = server.run(words)
                assert code == 0, f"{command}\n{stderr}"
                output = [words[i + 1] for i, word in enumerate(words) if word in ("-o", "--to")]
                assert stdout.strip() or (folder / output[0]).stat().st_size, command
    return folder


def _as_tested(command: str) -> list[str]:
    """The command's words, with bundled backbones and as little training as there can be."""
    for name, bundled in BUNDLED.items():
        command = command.replace(f"--backbone {name} --pretrained openai", f"--backbone {bundled}")
    words = shlex.split(command.replace(*OF_TIMM))[1:]
    if words[0] == "train" and "--keys" not in words:
        return [*words, *QUICK, *FEWER_LAYERS.get(words[1], []), *LEARNS.get(words[1], [])]
    if words[:2] == ["eval", "base-to-novel"]:
        methods = words[words.index("--methods") + 1].split(",")
        fewer = [f"--set={method}:{setting}" for method in methods for setting in FEWER_LAYERS.get(method, [])]
        return [*words, *QUICK_SWEEP, *fewer]
    if words[:2] == ["eval", "visual-tuning"]:
        return [*words, *QUICK_TUNING]
    if words[:2] == ["eval", "partial-label"]:
        return [*words, *QUICK_LABELS]
    return words


@pytest.mark.slow
def test_every_command_of_the_readme_runs(finished: Path) -> None:
    for name in (
        "ap.png",
        "a.npz",
        "known.jsonl",
        "reliability.png",
        "tags.html",
        "coco.safetensors",
        "report.html",
        "embeddings.png",
    ):
        assert (finished / name).stat().st_size > 0


@pytest.mark.slow
def test_the_three_lines_of_the_readme_classify(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They equal the global branch of the exported prompt, on features that are pooled as the prompt pools them."""
    lines = next(block for block in _blocks("python") if "load_file" in block)
    learner = load_learner(finished / "runs" / "coco")
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))

    class Model:
        def encode_image(self, images: torch.Tensor) -> torch.Tensor:
            return learner.encode_images(images).global_

    monkeypatch.chdir(finished)
    known: dict[str, Any] = {"torch": torch, "safetensors": safetensors, "model": Model()}
    exec(lines, known | (out := {"images": images}), out)
    assert isinstance(learner, DenseLearner)
    with torch.no_grad():
        expected = learner.image_logits(images).global_
    torch.testing.assert_close(out["logits"], expected, rtol=1e-5, atol=1e-5)


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {command.split()[1] for command in _commands() if command.startswith("make ")}
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_readme_has_no_other_commands() -> None:
    assert all(command.startswith(("make ", "clipprompt ")) for command in _commands())


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    block = next(block for block in _blocks("python") if "load_backbone" in block)
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tensor" in done.stdout
    assert "a.jpg no such file" in done.stdout


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_no_number_was_left_to_be_filled_in(document: str) -> None:
    assert not re.search(r"\b[A-Z]+_(SECONDS|TIME|TABLE|RESULT)\b", (ROOT / document).read_text(encoding="utf-8"))

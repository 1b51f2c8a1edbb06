"""Everything in the README is run: its commands on files of the true formats, its Python as it stands.

Weights cannot be fetched in a test, so ``--backbone RN50 --pretrained openai`` runs on the bundled ``mini``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import sample_scene

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ["train.epochs=1", "data.templates=false"]


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def _commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in _blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """COCO's files in miniature: captions, instances, pictures; and a table of labels."""
    place = tmp_path_factory.mktemp("readme")
    (place / "val2014").mkdir()
    names = ["person", "bicycle", "car", "dog", "cat"]
    images, captions, annotations, table = [], [], [], ["path,labels"]
    for number in range(1, 9):
        file = f"COCO_val2014_{number:012}.jpg"
        render_scene(sample_scene(number), 96).save(place / "val2014" / file)
        images.append({"id": number, "file_name": file, "width": 96, "height": 96})
        first, second = names[number % 5], names[(number + 2) % 5]
        captions.append({"id": number, "image_id": number, "caption": f"A {first} next to a {second}."})
        annotations.append({"id": number, "image_id": number, "category_id": 1 + number % 5, "iscrowd": 0})
        table.append(f"val2014/{file},{first}|{second}")
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
    (place / "captions_train2014.json").write_text(json.dumps({"images": images, "annotations": captions}))
    (place / "instances_val2014.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    (place / "labels.csv").write_text("\n".join(table) + "\n")
    return place


@pytest.mark.slow
def test_every_command_of_the_readme_runs(folder: Path) -> None:
    commands = [command for command in _commands() if command.startswith("clipprompt ")]
    assert len(commands) >= 6
    for command in commands:
        words = command.replace("--backbone RN50 --pretrained openai", "--backbone mini").split()
        if words[1] == "train" and "--keys" not in words:
            words += QUICK
        done = subprocess.run(
            [sys.executable, "-m", "clipprompt", *words[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout.strip() or (folder / words[words.index("-o") + 1]).stat().st_size, command
    assert (folder / "ap.png").stat().st_size > 0


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {command.split()[1] for command in _commands() if command.startswith("make ")}
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_readme_has_no_other_commands() -> None:
    assert all(command.startswith(("make ", "clipprompt ")) for command in _commands())


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (block,) = _blocks("python")
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tensor" in done.stdout


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_no_number_was_left_to_be_filled_in(document: str) -> None:
    assert not re.search(r"\b[A-Z]+_(SECONDS|TIME|TABLE|RESULT)\b", (ROOT / document).read_text(encoding="utf-8"))

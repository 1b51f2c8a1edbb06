"""``clipprompt models``: on stdout, what can be learnt on each architecture."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clipprompt.cli import app
from clipprompt.errors import UserError

Run = Callable[..., str]
REASON = "needs a transformer image tower, such as ViT-B-16's; RN50 has none"


@pytest.fixture
def run() -> Run:
    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "120"})
        if result.exception is not None:
            raise result.exception
        return result.stdout

    return call


def test_the_table_says_each_reason_once(run: Run) -> None:
    lines = run("rn50x4").splitlines()
    assert " ".join(lines[0].split()) == "architecture text image language visual multi-modal head vpt_head"
    assert [" ".join(line.split()) for line in lines[2:4]] == [
        f"{name} causal ModifiedResNet works no (1) no (1) works pixels" for name in ("RN50x4", "RN50x4-quickgelu")
    ]
    assert [line for line in lines if "transformer image tower" in line] == [
        "(1) needs a transformer image tower, such as ViT-B-16's; it has none"
    ]


def test_names_behind_a_pipe_are_whole(run: Run) -> None:
    assert "coca_roberta-ViT-B-32" in run("coca_roberta").split()


def test_json_has_whole_reasons(run: Run) -> None:
    (found,) = json.loads(run("RN50", "--format", "json"))
    expected: dict[str, Any] = {"name": "RN50", "text": "causal", "image": "ModifiedResNet", "language": "works"}
    expected |= {"visual": REASON, "multi-modal": REASON, "head": "works", "vpt_head": "pixels", "package": None}
    assert found == expected | {"weights": "openai yfcc15m cc12m"}


def test_csv_can_be_read_back(run: Run) -> None:
    (row,) = csv.DictReader(io.StringIO(run("ViT-B-16-SigLIP", "--format", "csv")))
    assert row == {
        "name": "ViT-B-16-SigLIP",
        "text": "bidirectional",
        "image": "timm VisionTransformer",
        "language": "works",
        "visual": "works",
        "multi-modal": "works",
        "head": "works",
        "vpt_head": "tokens",
        "package": "transformers",
        "weights": "webli",
    }


def test_markdown_has_one_row_each(run: Run) -> None:
    lines = run("ViT-B-16-SigLIP", "--format", "md").splitlines()
    assert lines[2] == "| ViT-B-16-SigLIP | bidirectional * | timm ViT | works | works | works | works | tokens |"
    assert lines[4] == "weights: webli"
    assert lines[6] == "* needs the package transformers, and files from the Hub, to be loaded"


def test_architectures_of_a_kind_share_a_row(run: Run) -> None:
    lines = run("rn50x4", "--by-kind", "--format", "md").splitlines()
    assert lines[2] == "| RN50x4 and 1 more | causal | ModifiedResNet | works | no (1) | no (1) | works | pixels |"
    assert lines[3] == ""


def test_a_family_keeps_what_works_with_it(run: Run) -> None:
    assert json.loads(run("rn50x4", "--family", "visual", "--format", "json")) == []
    assert len(json.loads(run("rn50x4", "--family", "language", "--format", "json"))) == 2
    assert json.loads(run("timm:test_vit", "--family", "language", "--format", "json")) == []


def test_towers_of_timm_have_images_alone_and_name_their_weights(run: Run) -> None:
    lines = run("timm:test_resnet", "--format", "md").splitlines()
    assert lines[2] == "| timm:test_resnet | – | timm ResNet | no (1) | no (1) | no (1) | works | pixels |"
    assert lines[4].startswith("(1) needs a text tower, and it has images alone; methods with a head")
    assert lines[6] == "weights: r160_in1k"


@pytest.mark.slow
def test_the_documentation_has_the_table_of_all_kinds(run: Run) -> None:
    table = run("--by-kind", "--format", "md")
    assert table in (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RN5O"], r"no architecture 'RN5O' \(did you mean 'RN50'\?\)"),
        (["--family", "visula"], r"no family 'visula' \(did you mean 'visual'\?\)"),
        (["RN50", "--format", "xml"], "unknown format 'xml'"),
    ],
)
def test_mistakes_get_one_line(run: Run, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        run(*arguments)
    assert "\n" not in str(error.value)


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom clipprompt.cli import main\nsys.argv = ['clipprompt', 'models', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'open_clip', 'timm') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--family" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"

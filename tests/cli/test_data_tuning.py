"""The fine-grained five and VTAB's tasks from the command line: list, check, draw, train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clipprompt.datasets.classification.groups import GROUPS
from tests.cli.test_train import run
from tests.datasets.classification.tuning_miniatures import make_tuning_miniature

NAMES = ("vtab-clevr-count", "fgvc-cub")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    for name in NAMES:
        make_tuning_miniature(name, folder)
    return str(folder)


def test_every_set_of_a_group_is_listed_in_full() -> None:
    _, out, _ = run("data", "list")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith(("fgvc-", "vtab-"))]
    assert {*GROUPS["fgvc"], *GROUPS["vtab"]} <= {*listed}


def test_a_group_is_checked_as_its_sets(root: str) -> None:
    code, out, err = run("data", "check", "vtab-structured", "fgvc-cub", "--root", root)
    rows = [line.split()[0] for line in out.splitlines()[2:]]
    assert rows == [*GROUPS["vtab-structured"], "fgvc-cub"]
    assert code == 1
    assert err.count("run: clipprompt data download vtab-") == len(GROUPS["vtab-structured"]) - 1


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_checked_and_drawn_from(root: str, name: str) -> None:
    code, out, _ = run("data", "check", name, "--root", root, "--decode")
    assert code == 0
    assert out.startswith(f"{name}: 3 classes; 9 train, 3 val, 6 test pictures, all decoded; t")
    code, out, _ = run("data", "draw", name, "--root", root, "--shots", "1", "--part", "val")
    assert [json.loads(line)["label"] for line in out.splitlines()] == [0, 1, 2]


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_is_learnt_from_a_set(root: str, tmp_path: Path, name: str) -> None:
    small = ["--backbone", "mini-vit", "n_ctx=2", "epochs=1", "device=cpu", "shots=1"]
    code, out, err = run("train", "coop", "--dataset", name, "--root", root, *small, "-o", str(tmp_path / "run"))
    assert (code, out) == (0, f"{tmp_path / 'run'}\n"), err
    assert f"3 pictures of {name}:train" in err


def test_a_run_says_that_it_learns_from_val_too(root: str, tmp_path: Path) -> None:
    small = ["--backbone", "mini-vit", "epochs=1", "device=cpu", "with_val=true"]
    code, _, err = run("train", "linear", "--dataset", NAMES[0], "--root", root, *small, "-o", str(tmp_path / "run"))
    assert (code, f"12 pictures of {NAMES[0]}:train and val, " in err) == (0, True), err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["train", "coop", "--dataset", "vtab", "--root", "."], "vtab is a group of 19 sets, and here one is meant"),
        (["data", "draw", "fgvc", "--root", "."], "fgvc is a group of 5 sets, and here one is meant; give fgvc-cub"),
        (["data", "download", "fgvc", "--root", "."], "CUB-200-2011 cannot be fetched for you: get the pictures at"),
        (["data", "check", "vtab-dtd"], "vtab-dtd needs --root"),
    ],
    ids=["train on a group", "draw from a group", "download what is fetched by hand", "no root"],
)
def test_wrong_uses_get_one_line(command: list[str], said: str) -> None:
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert said in err
    assert "\n" not in err

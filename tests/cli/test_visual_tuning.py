"""``clipprompt eval visual-tuning`` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_train import run
from tests.sweep.conftest import one_thread, world

__all__ = ["one_thread", "world"]
SHORT = ["train.epochs=1", "train.warmup_epochs=0", "train.batch_size=4"]
GRID = ["--grid", "train.lr=0.2,0.1", "--grid", "train.weight_decay=0.0"]


@pytest.fixture
def command(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Linear layers on a folder of pictures, without a grid, in ``sweep``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    settings = [part for setting in SHORT for part in ("--set", setting)]
    where = ["--datasets", str(world / "photos"), "--backbone", str(world / "tiny"), "-o", "sweep"]
    return ["eval", "visual-tuning", "-m", "linear", *where, "--seeds", "1", "--device", "cpu", *settings]


def test_settings_are_searched_and_shares_come_later(command: list[str]) -> None:
    code, out, err = run(*command, *GRID, "--dry-run")
    assert (code, err) == (0, "")
    told = [line.split()[1:] for line in out.splitlines()[2:]]
    assert told == [["1", "val", "pending"]] * 2 + [["1", "all", "pending"]]
    code, out, err = run(*command, *GRID, "--format", "jsonl")
    assert code == 0, err
    assert err.splitlines()[-1] == "3 done, in sweep"
    (record,) = map(json.loads, out.splitlines())
    assert (record["method"], record["n_train"], len(record["grid"]["points"])) == ("linear", 28, 2)
    code, out, err = run(*command, *GRID, "--shares", "0.5", "--format", "jsonl")
    assert code == 0, err
    assert {record["share"]: record["n_train"] for record in map(json.loads, out.splitlines())} == {None: 28, 0.5: 16}
    code, out, err = run("report", "sweep")
    assert code == 0
    assert "unfinished" not in out + err
    code, _, err = run(*command, "--no-grid")
    assert code == 2
    assert "sweep holds another sweep: grid is train.lr=0.2,0.1, train.weight_decay=0.0 there and none here" in err


MISTAKES = {
    "no share": (["--shares", "half"], "--shares 'half' is no list of parts of the training pictures"),
    "empty shares": (["--shares", ","], "--shares ',' is no list of parts of the training pictures"),
    "share twice": (["--shares", "0.1,0.1"], "--shares 0.1,0.1 names 0.1 twice"),
    "share in percent": (["--shares", "50"], "share 50 is no part of the training pictures"),
    "captions": (["--captions", "c.parquet"], "--captions c.parquet has no use in visual-tuning"),
    "axis of none": (["--grid", "vpt-deep:n_ctx=1"], "--grid vpt-deep:n_ctx=1 is for 'vpt-deep', which is not run"),
    "grid and none": (["--grid", "train.lr=1", "--no-grid"], "--grid train.lr=1 has no use with --no-grid"),
    "learner": (["-m", "linaer"], "there is no method 'linaer' (did you mean 'linear'?)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_before_anything_runs(mistake: str, command: list[str]) -> None:
    arguments, message = MISTAKES[mistake]
    code, out, err = run(*command, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "\n" not in err
    assert not Path("sweep").exists()


@pytest.mark.parametrize("given", ["--grid train.lr=1 n_ctx=2", "--no-grid", "--shares 0.5"])
def test_grids_and_shares_have_no_use_elsewhere(command: list[str], given: str) -> None:
    option, *values = given.split()
    arguments = [part for value in values for part in (option, value)] or [option]
    code, _, err = run("eval", "few-shot", "-m", "coop", *command[4:], *arguments)
    assert code == 2
    assert f"{given} has no use in few-shot" in err


def test_a_table_without_val_is_found_before_anything_is_learnt(command: list[str]) -> None:
    rows = [(f"{part}-{name}.jpg", name, part) for part in ("train", "test") for name in "ab"]
    Path("table.csv").write_text("\n".join(["path,label,split", *map(",".join, rows)]))
    for path, *_ in rows:
        Image.new("RGB", (32, 32)).save(path)
    command[command.index("--datasets") + 1] = "table.csv"
    code, _, err = run(*command, "--no-grid")
    assert code == 2
    assert "table.csv has no part val to choose settings by, and to learn from: add one beside train" in err

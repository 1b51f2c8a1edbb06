"""``clipprompt report``: pages, plots, confusions and contact sheets of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clipprompt.cli import app
from clipprompt.errors import UserError
from clipprompt.evaluation.records import write_records
from tests.reports._pages import Page, assert_self_contained
from tests.reports.protocol_records import both

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def call(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(app, ["report", *map(str, arguments)], env={"COLUMNS": "100"})
        if result.exception is not None:
            raise result.exception
        return result

    return call


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "sweep"
    for seed in (1, 2):
        at = folder / "coop" / "own" / f"base-16shots-seed{seed}"
        write_records(at / "results.jsonl", both("coop", "own", 0.8 + seed / 100, 0.6, seed=seed))
        lines = [
            {"dataset": "mini-objects", "tested_subset": "base", "path": "mini-objects/test/3", "folder": None}
            | {"classname": "bird", "predicted": predicted, "probability": 0.5}
            for predicted in ("kite", "bird")
        ]
        (at / "predictions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "coop" / "own" / "base-16shots-seed3").mkdir()
    (folder / "coop" / "own" / "base-16shots-seed3" / "job.json").touch()
    (folder / "sweep.yaml").write_text("protocol: base-to-novel\nmethods: [coop]\ndatasets: [own]\nseeds: [1, 2, 3]\n")
    return folder


def test_a_page_has_everything_that_lies_in_the_folder(run: Run, sweep: Path, tmp_path: Path) -> None:
    run(sweep, "-o", tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert f"clipprompt eval base-to-novel --methods coop --datasets own --seeds 1,2,3 -o {sweep}" in page.text
    assert "1 run is not complete" in page.text
    assert "base-16shots-seed3" in page.text
    assert "bird → kite 50 % 2 of 4" in page.text
    assert len(page.all("img")) == 1


def test_pages_of_equal_runs_are_equal_bytes(run: Run, sweep: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(sweep, "-o", tmp_path / f"{name}.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_pictures_are_files_beside_the_table(run: Run, sweep: Path, tmp_path: Path) -> None:
    files = {"--confusions": tmp_path / "pairs.csv", "--contact-sheet": tmp_path / "sheet.png"}
    options = [word for pair in files.items() for word in pair]
    result = run(sweep, "--plots", tmp_path / "plots", "--plot-format", "svg", *options)
    assert "coop" in result.stdout
    assert "base-to-novel-harmonic-means.svg" in result.stderr
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "base-to-novel-base-against-novel.svg",
        "base-to-novel-harmonic-means.svg",
    ]
    assert "coop,mini-objects,base,bird,kite,2,4,50.00" in files["--confusions"].read_text()
    assert files["--contact-sheet"].stat().st_size > 5000


def test_pictures_that_cannot_be_opened_are_counted(run: Run, sweep: Path, tmp_path: Path) -> None:
    path = sweep / "coop" / "own" / "base-16shots-seed1" / "predictions.jsonl"
    path.write_text(path.read_text().replace("mini-objects/test/3", "mini-objects/test/x"))
    assert "1 pictures of" in run(sweep, "--contact-sheet", tmp_path / "x.png").stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plots", "p", "--plot-format", "jpeg"], "cannot draw plots as .jpeg: its ending must be one of png"),
        (["--confusions", "x.txt"], "cannot write confusions to x.txt: its ending must be one of csv, png"),
        (["--contact-sheet", "x.gif"], "cannot draw x.gif: its ending must be one of png"),
        (["--contact-sheet", "-"], "--contact-sheet - would be a file named -"),
        (["--confusions", "sweep"], "--confusions sweep is not a file"),
        (["--plots", "sweep/sweep.yaml"], "cannot write sweep/sweep.yaml"),
    ],
    ids=[
        "plot format",
        "confusions ending",
        "sheet ending",
        "sheet to stdout",
        "confusions to a folder",
        "plots to a file",
    ],
)
def test_what_cannot_be_written_is_refused(
    run: Run, sweep: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(sweep.parent)
    with pytest.raises(UserError, match=message):
        run("sweep", *options)
    assert [path.name for path in sweep.parent.iterdir()] == ["sweep"]


@pytest.mark.parametrize("option", [["--confusions", "x.csv"], ["--contact-sheet", "x.png"]])
def test_runs_without_predictions_say_how_to_get_them(run: Run, sweep: Path, tmp_path: Path, option: list[str]) -> None:
    for path in sweep.rglob("predictions.jsonl"):
        path.unlink()
    with pytest.raises(UserError, match="with --predictions"):
        run(sweep, option[0], tmp_path / option[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"dataset": 3}\n', "line 1: a prediction lacks 'tested_subset'"),
        ("{cut off", "broken JSON"),
        ("[]\n", "not a record"),
    ],
    ids=["key", "cut off", "list"],
)
def test_broken_predictions_are_named(run: Run, sweep: Path, tmp_path: Path, text: str, message: str) -> None:
    path = sweep / "coop" / "own" / "base-16shots-seed1" / "predictions.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        run(sweep, "-o", tmp_path / "report.html")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "report.html").exists()

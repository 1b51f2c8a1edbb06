from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from clipprompt.cli import main
from clipprompt.cli.eval import app
from clipprompt.cli.eval.scores import join_weights
from clipprompt.datasets import open_image
from clipprompt.evaluation.metrics import average_precision

Golden = Callable[[str], dict[str, torch.Tensor]]
RNG = np.random.default_rng(0)
TARGETS = np.random.default_rng(1).choice([1, 0, -1], size=(20, 3)).astype(np.int8)
A, B = RNG.normal(size=(2, 20, 3))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", targets=TARGETS, scores_global=A, scores_local=B)
    np.savez("b.npz", targets=TARGETS, scores=B)
    np.savez("short.npz", targets=TARGETS[:5], scores=B[:5])
    np.savez("other.npz", targets=np.where(TARGETS == 0, 1, TARGETS), scores=B)
    np.savez("none.npz", targets=np.minimum(TARGETS, 0), scores=B)
    np.savez("objects.npz", targets=TARGETS, scores=B.astype(object))
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
    return tmp_path


def run(arguments: str) -> Result:
    return CliRunner().invoke(app, ["scores", *arguments.split()])


def mean(scores: np.ndarray) -> float:
    return average_precision(scores, TARGETS).mean


def unit(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.min()) / (scores.max() - scores.min())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("a.npz", lambda: mean((A + B) / 2)),
        ("a.npz --branch global", lambda: mean(A)),
        ("a.npz --branch local", lambda: mean(B)),
        ("a.npz --merge 0.2", lambda: mean(0.8 * A + 0.2 * B)),
        ("b.npz", lambda: mean(B)),
        ("b.npz --weights 7", lambda: mean(B)),
        ("a.npz b.npz", lambda: mean(unit((A + B) / 2) + unit(B))),
        ("a.npz b.npz --weights 0.1 0.9", lambda: mean(0.1 * unit((A + B) / 2) + 0.9 * unit(B))),
        ("a.npz b.npz --weights 0.1,0.9", lambda: mean(0.1 * unit((A + B) / 2) + 0.9 * unit(B))),
        ("--weights 0.1 0.9 a.npz b.npz", lambda: mean(0.1 * unit((A + B) / 2) + 0.9 * unit(B))),
        ("a.npz b.npz --merge 0.2", lambda: mean(unit(0.8 * A + 0.2 * B) + unit(B))),
        ("a.npz b.npz --branch global", lambda: mean(unit(A) + unit(B))),
        ("a.npz --weights 9 1 b.npz", lambda: mean(0.9 * unit((A + B) / 2) + 0.1 * unit(B))),
    ],
)
def test_json_is_one_object_with_the_numbers(folder: Path, arguments: str, expected: Callable[[], float]) -> None:
    result = run(f"{arguments} --format json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["mean_average_precision"] == pytest.approx(expected(), abs=1e-9)
    assert len(found["average_precision"]) == 3


def test_class_without_a_positive_is_null(folder: Path) -> None:
    targets = TARGETS.copy()
    targets[:, 1] = np.minimum(targets[:, 1], 0)
    np.savez("null.npz", targets=targets, scores=B)
    found = json.loads(run("null.npz -f json").stdout)
    assert found["average_precision"][1] is None
    assert found["mean_average_precision"] == pytest.approx(
        (found["average_precision"][0] + found["average_precision"][2]) / 2
    )


def test_map_is_the_references(golden: Golden, folder: Path) -> None:
    reference = {key: value.numpy() for key, value in golden("map_synthetic").items()}
    np.savez("golden.npz", targets=np.maximum(reference["targets"], 0), scores=reference["scores"])
    found = json.loads(run("golden.npz -f json").stdout)
    ours = [value or 0.0 for value in found["average_precision"]]
    np.testing.assert_allclose(ours, reference["ap"], atol=1e-6)
    assert 100 * np.mean(ours) == pytest.approx(float(reference["mAP"]), abs=1e-4)


def test_table_shows_the_files_and_their_ensemble(folder: Path) -> None:
    result = run("a.npz b.npz --weights 0.1 0.9")
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[4:7]] == ["a.npz: merged", "b.npz: merged", "ensemble (0.1, 0.9)"]
    assert "no CF1, OF1, ECE" in result.stderr
    assert max(map(len, lines)) <= 80


def test_table_says_whose_scores_are_taken_as_probabilities(folder: Path) -> None:
    np.savez("given.npz", targets=TARGETS, scores=unit(B))
    text = " ".join(run("a.npz given.npz").stdout.split())
    assert "(scores as given for given.npz: merged, otherwise sigmoid)" in text


def test_csv_and_per_class_file_read_back(folder: Path) -> None:
    result = run("a.npz --format csv --per-class ap.csv")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    lines = list(csv.DictReader((folder / "ap.csv").read_text().splitlines()))
    assert float(row["map_percent"]) == pytest.approx(100 * mean((A + B) / 2), abs=1e-3)
    assert [line["class"] for line in lines] == ["1", "2", "3"]
    assert [int(line["n_positive"]) for line in lines] == (TARGETS == 1).sum(axis=0).tolist()


@pytest.mark.parametrize("output_format", ["table", "md", "csv", "json"])
def test_a_strangers_names_are_shown_and_do_nothing(folder: Path, output_format: str) -> None:
    facts = {"method": "\x1b[2J", "dataset": "\ud800\u202e", "classnames": ["\x1b[31m", "\udcff", "dog"]}
    np.savez("a.npz", header=np.frombuffer(json.dumps(facts).encode(), np.uint8), targets=TARGETS, scores=B)
    result = run(f"a.npz -f {output_format} --per-class ap.csv --plot ap.png")
    assert result.exit_code == 0, result.output
    shown = result.stdout + (folder / "ap.csv").read_text(encoding="utf-8")
    assert not [letter for letter in shown if letter != "\n" and not (letter.isprintable() or output_format == "json")]
    assert "\\udcff" in shown
    assert "\x1b" not in shown


def test_plot_is_drawn(folder: Path) -> None:
    assert run("a.npz b.npz --plot ap.png").exit_code == 0
    assert open_image(folder / "ap.png").size[0] > 500


BAD = [
    ("", "Missing argument"),
    ("nowhere.npz", "cannot read nowhere.npz: No such file"),
    (".", "cannot read .: Is a directory"),
    ("text.npz", "text.npz is not an npz file"),
    ("cut.npz", "cut.npz is not an npz file, or was cut short"),
    ("objects.npz", "objects.npz holds Python objects, which are never loaded"),
    ("none.npz", "none.npz: no class has a positive image"),
    ("a.npz short.npz", "a.npz and short.npz differ in shape"),
    ("a.npz other.npz", "a.npz and other.npz are not of the same set: the label of image"),
    ("a.npz b.npz --weights 0.1", "--weights gives 1 numbers for 2 files"),
    ("a.npz b.npz --weights 0.1 0.2 0.7", "--weights gives 3 numbers for 2 files"),
    ("a.npz b.npz --weights 0.1 -0.9", "--weights -0.9: a weight is a finite number and not negative"),
    ("a.npz b.npz --weights nan 1", "--weights nan"),
    ("a.npz b.npz --weights 0 0", "at least one must be more than 0"),
    ("a.npz b.npz --weights much little", "--weights much: not a list of numbers such as 0.1 0.9"),
    ("a.npz b.npz --weights 0.1;0.9", "--weights 0.1;0.9: not a list of numbers"),
    ("a.npz b.npz --weights", "requires an argument"),
    ("a.npz --merge 1.1", "--merge 1.1: the weight of the local branch lies in 0..1"),
    ("a.npz --merge some", "Invalid value for '--merge'"),
    ("a.npz --merge 0.5 --branch local", "--merge has no use with --branch local"),
    ("b.npz --merge 0.5", "--merge needs the global and the local branch"),
    ("b.npz --branch local", "b.npz: there is no branch 'local' here; there is merged"),
    ("b.npz --branch locl", "unknown branch 'locl' (did you mean 'local'?)"),
    ("b.npz --normalise images", "unknown normalisation 'images' (did you mean 'image'?)"),
    ("b.npz --threshold 2", "--threshold 2: a threshold on probabilities lies in 0..1"),
    ("b.npz --format xml", "unknown format 'xml'"),
    ("b.npz --metrics some", "unknown metrics 'some'"),
    ("b.npz --plot ap.doc", "cannot draw ap.doc"),
    ("b.npz --plot b.npz/ap.png", "--plot b.npz/ap.png: b.npz is not a folder that can be written to"),
    ("b.npz --per-class .", "--per-class . is not a file"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[arguments for arguments, _ in BAD])
def test_mistake_is_one_line_and_leaves_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    before = set(folder.iterdir())
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["clipprompt", "eval", "scores", *arguments.split()])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        ("a b", "a b"),
        ("a b --weights 1 2", "a b --weights=1,2"),
        ("--weights 1 2 a b", "--weights=1,2 a b"),
        ("--weights=1 2 a", "--weights=1,2 a"),
        ("a --weights -1 1e-3 --merge 0.5", "a --weights=-1,1e-3 --merge 0.5"),
        ("--weights x 1", "--weights=x,1"),
        ("a --merge 0.5 0.9 --weights", "a --merge 0.5 0.9 --weights"),
        ("-- --weights 1 2", "-- --weights 1 2"),
    ],
)
def test_weights_take_the_numbers_that_follow(given: str, joined: str) -> None:
    assert join_weights(given.split()) == joined.split()

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from clipprompt.backbone import Backbone
from clipprompt.cli.eval import app
from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.evaluation.records import read_records
from clipprompt.evaluation.scores import read_scores
from clipprompt.learners import create_learner
from tests.evaluation.conftest import CLASSES


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["multilabel", *map(str, arguments)])


@pytest.fixture
def request_(table: Path, tiny_folder: Path) -> list[str]:
    return ["--dataset", str(table), "--backbone", str(tiny_folder), "--device", "cpu"]


@pytest.fixture
def prompt(backbone: Backbone, tmp_path: Path) -> Path:
    create_learner("tai_dpt", backbone, CLASSES, n_ctx=2, seed=1).save(tmp_path / "prompt")
    return tmp_path / "prompt"


def test_table_goes_to_stdout_and_messages_to_stderr(request_: list[str], prompt: Path) -> None:
    result = run(*request_, "--prompts", prompt, "--published", "voc2007")
    assert result.exit_code == 0, result.output
    rows = ("zero-shot CLIP", "zero-shot CLIP + local", "zero-shot CLIP, centred text", "TaI", "TaI-DPT")
    assert all(f"\n{row} " in result.stdout for row in rows)
    assert "88.3" in result.stdout
    assert "7 images in" in result.stderr
    assert "1 unknown labels left out" in result.stderr
    assert "images in" not in result.stdout


def test_json_is_what_the_file_of_records_holds(request_: list[str], tmp_path: Path) -> None:
    result = run(*request_, "--format", "json", "-o", tmp_path / "results.jsonl")
    records = json.loads(result.stdout)
    assert records == read_records(tmp_path / "results.jsonl")
    assert [record["branch"] for record in records] == ["global", "merged"] * 2
    assert all(0 <= record["mean_average_precision"] <= 1 for record in records)


@pytest.mark.parametrize("output_format", ["csv", "md"])
def test_text_formats_have_every_row(request_: list[str], output_format: str) -> None:
    result = run(*request_, "--format", output_format)
    assert result.stdout.count("zero-shot CLIP") == 4


def test_branches_can_be_chosen(request_: list[str]) -> None:
    result = run(*request_, "--branch", "local", "--format", "json")
    assert {record["branch"] for record in json.loads(result.stdout)} == {"local"}


def test_prompts_bring_their_backbone(table: Path, prompt: Path) -> None:
    result = run("-d", table, "-p", f"mine={prompt}", "--device", "cpu", "--format", "csv")
    assert result.exit_code == 0, result.output
    names = [row["row"] for row in csv.DictReader(io.StringIO(result.stdout))]
    assert names[-2:] == ["TaI, mine", "TaI-DPT, mine"]


def test_one_name_makes_one_row_of_several_seeds(request_: list[str], backbone: Backbone, tmp_path: Path) -> None:
    for seed in (1, 2):
        create_learner("tai_dpt", backbone, CLASSES, n_ctx=2, seed=seed).save(tmp_path / str(seed))
    result = run(*request_, "-p", f"x={tmp_path / '1'}", "-p", f"x={tmp_path / '2'}", "--format", "csv")
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert rows["TaI-DPT, x"]["runs"] == "2"
    assert float(rows["TaI-DPT, x"]["std_percent"]) >= 0


def test_classes_come_from_a_file(request_: list[str], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("tree\ncat\n")
    result = run(*request_, "--classes", tmp_path / "names.txt", "--format", "json")
    assert json.loads(result.stdout)[0]["classnames"] == ["tree", "cat"]


def test_reliability_is_drawn_of_six_rows_those_of_prompts_first(
    request_: list[str], prompt: Path, tmp_path: Path
) -> None:
    two = ["--prompts", f"a={prompt}", "--prompts", f"b={prompt}"]
    result = run(*request_, *two, "--reliability", tmp_path / "r.svg")
    assert result.exit_code == 0, result.output
    assert "shows 6 rows; left out: zero-shot CLIP, centred text, zero-shot CLIP + local, centred text" in result.stderr
    titles = re.findall(r"<!-- (.*), ECE", (tmp_path / "r.svg").read_text())
    rows = ["TaI", "TaI-DPT"] * 2 + ["zero-shot CLIP", "zero-shot CLIP + local"]
    assert [title.partition(", ")[0] for title in titles] == rows


def test_plot_is_drawn(request_: list[str], tmp_path: Path) -> None:
    assert run(*request_, "--plot", tmp_path / "ap.png").exit_code == 0
    assert open_image(tmp_path / "ap.png").size[0] > 500


def test_drawn_scenes_need_no_file(tiny_folder: Path) -> None:
    result = run("-d", "mini:val", "--scenes", 20, "--backbone", tiny_folder, "--device", "cpu", "--format", "json")
    record = json.loads(result.stdout)[0]
    assert (record["dataset"], record["n_images"], len(record["classnames"])) == ("mini:val", 20, 20)


def test_scores_of_zero_shot_are_saved_without_prompts(request_: list[str], tmp_path: Path) -> None:
    records = json.loads(run(*request_, "--save-predictions", tmp_path / "a.npz", "-f", "json").stdout)
    saved = read_scores(tmp_path / "a.npz")
    assert (saved.header["method"], saved.classnames, len(saved.ids)) == ("zero_shot", CLASSES, 7)
    again = CliRunner().invoke(app, ["scores", str(tmp_path / "a.npz"), "--branch", "global", "-f", "json"])
    assert json.loads(again.stdout)["average_precision"] == records[0]["average_precision"]


def test_scores_of_the_only_prompt_are_saved(request_: list[str], prompt: Path, tmp_path: Path) -> None:
    run(*request_, "-p", prompt, "--save-predictions", tmp_path / "a.npz")
    saved = read_scores(tmp_path / "a.npz")
    assert (saved.header["method"], saved.header["source"]) == ("tai_dpt", str(prompt))
    assert set(saved.by_branch) == {"global", "local", "merged"}


def test_scores_can_be_normalised(request_: list[str]) -> None:
    result = run(*request_, "--normalise", "image", "--format", "json")
    assert {record["normalise"] for record in json.loads(result.stdout)} == {"image"}
    table = run(*request_, "--normalise", "image").stdout
    assert "scores normalised per image" in " ".join(table.split())  # where lines break depends on the folder's name
    assert "ECE" not in table


def test_features_are_kept_and_give_the_same_scores(request_: list[str], tmp_path: Path) -> None:
    run(*request_, "--no-cache", "--save-predictions", tmp_path / "fresh.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"fresh.npz"}
    for name in ("first", "again"):
        run(*request_, "--cache", tmp_path / "kept", "--save-predictions", tmp_path / f"{name}.npz")
    fresh, first, again = (read_scores(tmp_path / f"{name}.npz") for name in ("fresh", "first", "again"))
    np.testing.assert_allclose(first.by_branch["merged"], fresh.by_branch["merged"], rtol=1e-3)
    assert np.array_equal(again.by_branch["merged"], first.by_branch["merged"])
    assert list((tmp_path / "kept").iterdir())
    assert (fresh.header["cached"], again.header["cached"], again.header["draft"]) == (False, True, False)


def test_draft_is_recorded(request_: list[str]) -> None:
    assert all(record["draft"] for record in json.loads(run(*request_, "--draft", "-f", "json").stdout))


def test_threshold_moves_f1_alone(request_: list[str]) -> None:
    low, high = (json.loads(run(*request_, "--threshold", t, "-f", "json").stdout)[0] for t in ("0", "1"))
    assert low["at_threshold"]["OR"] == 1.0
    assert high["at_threshold"]["OR"] < 1.0
    assert low["average_precision"] == high["average_precision"]


def test_table_can_be_of_map_alone(request_: list[str]) -> None:
    assert "CF1" in run(*request_).stdout
    assert "CF1" not in run(*request_, "--metrics", "map").stdout


def test_average_precision_of_every_class_is_written(request_: list[str], tmp_path: Path) -> None:
    assert run(*request_, "--per-class", tmp_path / "ap.csv").exit_code == 0
    lines = list(csv.DictReader((tmp_path / "ap.csv").read_text().splitlines()))
    assert [line["class"] for line in lines] == list(CLASSES)
    assert float(lines[0]["zero-shot CLIP + local, centred text"]) >= 0


def test_broken_picture_is_named_and_the_rest_is_scored(table: Path, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    lines = table.read_text().splitlines()
    moved = [lines[0], *(f"{table.parent}/{line}" for line in lines[1:]), "broken.png,1,1,1"]
    (tmp_path / "labels.csv").write_text("\n".join(moved) + "\n")
    result = run("-d", tmp_path / "labels.csv", "--backbone", tiny_folder, "--device", "cpu", "--format", "json")
    assert result.exit_code == 1
    (skipped,) = [line for line in result.stderr.splitlines() if "skipped" in line]
    assert "broken.png" in skipped
    assert {(record["n_images"], record["n_skipped"]) for record in json.loads(result.stdout)} == {(7, 1)}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
def test_a_set_whose_name_is_no_text_is_scored(table: Path, tiny_folder: Path, tmp_path: Path) -> None:
    named = tmp_path / os.fsdecode(b"caf\xe9.csv")
    named.write_bytes(table.read_bytes())
    more = ("--images", table.parent, "--backbone", tiny_folder, "--device", "cpu", "-f", "json")
    result = run("-d", named, *more, "-o", tmp_path / "results.jsonl", "--save-predictions", tmp_path / "a.npz")
    assert result.exit_code == 0, result.output
    assert read_records(tmp_path / "results.jsonl")[0]["dataset"] == read_scores(tmp_path / "a.npz").header["dataset"]
    assert json.loads(result.stdout)[0]["dataset"] == r"caf\udce9"


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two pictures in VOC's official layout; a difficult dog in the second."""
    base = tmp_path / "VOCdevkit" / "VOC2007"
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (base / name).mkdir(parents=True)
    (base / "ImageSets" / "Main" / "test.txt").write_text("000001\n000002\n")
    for number, objects in (("000001", [("dog", 0)]), ("000002", [("cat", 0), ("dog", 1)])):
        Image.new("RGB", (40, 30), "teal").save(base / "JPEGImages" / f"{number}.jpg")
        found = "".join(f"<object><name>{n}</name><difficult>{d}</difficult></object>" for n, d in objects)
        text = f"<annotation><filename>{number}.jpg</filename>{found}</annotation>"
        (base / "Annotations" / f"{number}.xml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(("difficult", "n_unknown"), [("unknown", 1), ("negative", 0)])
def test_named_set_has_the_papers_numbers_beside(voc: Path, tiny_folder: Path, difficult: str, n_unknown: int) -> None:
    arguments = ("-d", "voc2007", "--root", voc, "--difficult", difficult, "--backbone", tiny_folder, "--device", "cpu")
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "88.3" in result.stdout
    assert "2 images where the official split has 4,952" in result.stderr
    assert ("1 unknown labels left out" in result.stderr) == bool(n_unknown)
    for without in (["--published", "none"], ["--classes", "voc2007"]):
        assert "88.3" not in run(*arguments, *without).stdout
    (record, *_) = json.loads(run(*arguments, "-f", "json").stdout)
    assert record["dataset_options"]["difficult"] == difficult


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "tabel"], "unknown format 'tabel' (did you mean 'table'?)"),
        (["--branch", "locl"], "unknown branch 'locl' (did you mean 'local'?)"),
        (["--plot", "ap.jpeg"], "cannot draw ap.jpeg"),
        (["--reliability", "r.jpg"], "cannot draw r.jpg: its ending must be one of png, pdf, svg"),
        (["--reliability", "r"], "cannot draw r:"),
        (["--reliability", "r.png", "--normalise", "image"], "--reliability r.png needs probabilities"),
        (["--published", "voc"], "no published numbers for 'voc'"),
        (["--prompts", "nowhere"], "--prompts nowhere: there is no folder"),
        (["--dataset", "pictures"], "unknown dataset 'pictures'"),
        (["--dataset", "nowhere.csv"], "cannot read nowhere.csv"),
        (["--images", "nowhere"], "image folder nowhere does not exist"),
        (["--classes", "voc2007"], "has no column for class 'aeroplane'"),
        (["--precision", "fp16"], "fp16 does not work on a CPU"),
        (["--backbone", "RN5O"], "there is no backbone 'RN5O'"),
        (["--device", "tpu9"], "device 'tpu9' is not there"),
        (["--normalise", "imag"], "unknown normalisation 'imag' (did you mean 'image'?)"),
        (["--threshold", "50"], "--threshold 50: a threshold on probabilities lies in 0..1"),
        (["--metrics", "mAP"], "unknown metrics 'mAP'"),
        (["--difficult", "negative"], "--difficult negative has no use with"),
        (["--root", "."], "--root . has no use with"),
        (["--save-predictions", "a.npz", "-p", "a", "-p", "b"], "a.npz holds one row, but there are 2 --prompts"),
        (["--dataset", "voc2007"], "voc2007:test needs --root"),
    ],
)
def test_wrong_request_is_one_line_and_leaves_nothing(
    request_: list[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run(*request_, *arguments, "-o", tmp_path / "results.jsonl")
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from typer.testing import CliRunner
from clipprompt.cli.eval import app
for command in ("multilabel", "scores"):
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
heavy = {"torch", "numpy", "pandas", "matplotlib", "PIL", "open_clip"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clipprompt.cli import app
from clipprompt.errors import UserError
from tests.reports.conftest import Make
from tests.reports.protocol_records import both, record
from tests.reports.protocols.test_gather import run_folder, write


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two methods, two sets and three seeds, and one run that was cut off."""
    folder = tmp_path / "sweep"
    for name in ("dtd", "food101"):
        run_folder(folder / "zero_shot" / name, *both("zero_shot", name, 0.5, 0.6))
        for s in (1, 2, 3):
            run_folder(folder / "coop" / name / f"seed{s}", *both("coop", name, 0.6 + s / 100, 0.5 - s / 100, seed=s))
    run_folder(folder / "coop" / "eurosat" / "seed1")
    return folder


def test_sweep_is_shown_as_a_table_and_what_is_not_finished_is_counted(sweep: Path) -> None:
    result = run(sweep)
    assert result.exit_code == 0
    assert result.stdout.startswith("base-to-novel: accuracy in percent, 16 shots, ViT-B-16 (openai), fp32\n")
    assert re.search(r"coop +62\.0 ± 1\.0 +48\.0 ± 1\.0 +54\.1 ± 0\.3 +79\.4\*", result.stdout)
    assert result.stderr == f"clipprompt: of 9 runs begun, 1 is not finished, such as {sweep}/coop/eurosat/seed1\n"


def test_papers_can_be_left_out(sweep: Path) -> None:
    assert "paper" in run(sweep).stdout
    assert "paper" not in run(sweep, "--no-published").stdout


def test_parts_of_a_sweep_make_the_same_table_as_the_whole(sweep: Path, tmp_path: Path) -> None:
    whole = run(sweep).stdout
    assert run(sweep / "coop", sweep / "zero_shot").stdout == whole
    for part in ("coop", "zero_shot"):
        assert run(sweep / part, "--format", "jsonl", "-o", tmp_path / f"{part}.jsonl").exit_code == 0
    assert run(tmp_path / "zero_shot.jsonl", tmp_path / "coop.jsonl", sweep / "zero_shot").stdout == whole


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("a.md", "base-to-novel: accuracy"),
        ("a.csv", "table,protocol,part,backbone"),
        ("a.tex", "\\begin{table*}"),
        ("a.HTML", "<!doctype html>"),
        ("a.jsonl", '{"protocol": "base-to-novel"'),
        ("a.txt", "base-to-novel: accuracy"),
    ],
)
def test_ending_of_the_file_chooses_the_format(sweep: Path, tmp_path: Path, name: str, beginning: str) -> None:
    result = run(sweep, "-o", tmp_path / name)
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / name).read_text().lower().startswith(beginning.lower())


@pytest.mark.parametrize("kind", ["md", "csv", "latex", "jsonl", "html"])
def test_formats_go_to_stdout_and_to_a_file_alike(sweep: Path, tmp_path: Path, kind: str) -> None:
    run(sweep, "--format", kind, "-o", tmp_path / "report")
    assert run(sweep, "--format", kind).stdout == (tmp_path / "report").read_text()


@pytest.mark.parametrize("kind", ["table", "md", "csv", "latex", "jsonl", "html"])
def test_every_format_ends_with_one_end_of_line(sweep: Path, kind: str) -> None:
    shown = run(sweep, "--format", kind).stdout
    assert shown == shown.rstrip() + "\n"


def test_markdown_ends_with_the_notes(sweep: Path) -> None:
    shown = run(sweep, "--format", "md").stdout
    assert shown.splitlines()[-1].startswith("- ")
    assert "- ±: sample standard deviation over runs (seeds 1, 2, 3)" in shown.splitlines()


def test_page_names_the_runs_that_are_not_finished(sweep: Path, tmp_path: Path) -> None:
    run(sweep, "-o", tmp_path / "a.html")
    assert f"{sweep}/coop/eurosat/seed1" in (tmp_path / "a.html").read_text()


def test_multilabel_records_have_the_table_of_their_own(sweep: Path, tmp_path: Path, make_multilabel: Make) -> None:
    runs = [make_multilabel(dataset="voc2007:test", score=score, seed=s) for s, score in ((1, 0.8), (2, 0.9))]
    file = write(tmp_path / "voc.jsonl", *runs, make_multilabel("other", dataset="coco2014:val"))
    shown = run(sweep, file, file).stdout
    assert shown.startswith("base-to-novel: ")
    assert re.search(r"TaI-DPT +85\.0 ± 7\.1 +2 .*88\.3\n", shown), "mean, deviation, runs and the paper's number"
    assert len(re.findall(r"^Percent: (voc2007:test|coco2014:val), 9 images", shown, flags=re.MULTILINE)) == 2
    assert "88.3" not in run(file, "--no-published").stdout


def test_multilabel_records_are_merged(tmp_path: Path, make_multilabel: Make) -> None:
    first, second = make_multilabel(seed=1), make_multilabel(seed=2)
    parts = [write(tmp_path / "a.jsonl", first, second), write(tmp_path / "b.jsonl", second)]
    assert [json.loads(line) for line in run(*parts, "-f", "jsonl").stdout.splitlines()] == [first, second]


def test_csv_of_one_multilabel_set(tmp_path: Path, make_multilabel: Make) -> None:
    (row,) = csv.DictReader(io.StringIO(run(write(tmp_path / "a.jsonl", make_multilabel()), "-f", "csv").stdout))
    assert row["map_percent"] == "50.000"


def test_validation_pictures_are_marked_as_no_results(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", *both("coop", "dtd", 0.5, 0.5, part="val"))
    shown = " ".join(run(file).stdout.split())
    assert "fp32, val pictures" in shown
    assert "for choosing settings; these are no results" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist; give folders of sweeps or runs"),
        (["sweep", "--format", "latx"], "unknown format 'latx' (did you mean 'latex'?)"),
        (["sweep", "--format", "json"], "unknown format 'json' (did you mean 'jsonl'?)"),
        (["sweep", "-o", "."], "-o . is not a file"),
        (["sweep", "-o", "-"], "leave out -o for stdout"),
        (["sweep", "-o", "sweep/zero_shot/dtd/config.yaml/a.md"], "is not a folder that can be written to"),
        (["sweep/coop/eurosat"], "the only run there is not finished"),
        (["sweep", "twice.jsonl"], "twice.jsonl, line 1 are the same run (coop on dtd, base classes, seed 1) with"),
        (["broken.jsonl"], "broken.jsonl, line 1: broken JSON"),
        (["many.jsonl", "-f", "latex"], "records of eval multilabel have no latex; choose table, md, csv, jsonl"),
        (["many.jsonl", "-f", "html"], "records of eval multilabel have no html"),
        (["many.jsonl", "sweep", "-f", "csv"], "csv holds one multi-label set, and no protocols beside it"),
    ],
)
def test_mistakes_get_one_line(
    sweep: Path, make_multilabel: Make, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(sweep.parent)
    write(Path("twice.jsonl"), record("coop", "dtd", 0.1))
    write(Path("broken.jsonl"), '{"protocol":')
    write(Path("many.jsonl"), make_multilabel())
    result = run(*arguments)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""


def test_a_file_that_stood_there_survives_a_mistake(sweep: Path, tmp_path: Path) -> None:
    write(sweep / "coop" / "dtd" / "seed2" / "results.jsonl", {})
    (tmp_path / "a.md").write_text("mine")
    assert isinstance(run(sweep, "-o", tmp_path / "a.md").exception, UserError)
    assert (tmp_path / "a.md").read_text() == "mine"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom clipprompt.cli import main\nsys.argv = ['clipprompt', 'report', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = ('torch', 'numpy', 'matplotlib', 'jinja2')\nprint([m for m in heavy if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--published" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_tables_need_no_torch(sweep: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom clipprompt.cli import app\n"
        f"assert CliRunner().invoke(app, ['report', {str(sweep)!r}, '-f', 'md']).exit_code == 0\n"
        "print([m for m in ('torch', 'open_clip', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

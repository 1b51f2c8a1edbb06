"""``clipprompt eval base-to-novel`` and its like as a user sees them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from clipprompt.cli import app
from clipprompt.cli.eval._protocol_commands import PROTOCOLS
from clipprompt.evaluation.protocols.planning import list_protocols
from clipprompt.locks import locked
from tests.cli.test_train import run
from tests.sweep.conftest import numbers, one_thread, world

__all__ = ["one_thread", "world"]
SMALL = ["--shots", "2", "--set", "train.epochs=1", "--device", "cpu"]


@pytest.fixture
def command(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A sweep of one run, in ``sweep``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    data = ["--datasets", str(world / "photos"), "--backbone", str(world / "tiny")]
    return ["eval", "base-to-novel", "--methods", "coop", "--seeds", "1", *data, *SMALL, "-o", "sweep"]


def test_every_protocol_is_a_command_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert sorted(PROTOCOLS) == list_protocols()
    for name in PROTOCOLS:
        code, out, _ = run("eval", name, "--help")
        assert code == 0
        assert f"clipprompt eval {name} -" in out
        assert "--shard" in out
        assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("option", "name", "others"),
    [
        ("--known", "few-shot-multilabel", ["few-shot", "zero-shot"]),
        ("--captions", "multilabel-zero-shot", ["base-to-novel"]),
        ("--plots", "few-shot-multilabel", ["partial-label", "few-shot"]),
        ("--source", "partial-label", ["few-shot"]),
        ("--class-splits", "multilabel-zero-shot", ["few-shot-multilabel"]),
        ("--shots", "partial-label", ["zero-shot"]),
    ],
)
def test_help_shows_what_has_a_use_and_the_rest_is_refused(option: str, name: str, others: list[str]) -> None:
    assert option in run("eval", name, "--help")[1]
    for other in others:
        assert option not in run("eval", other, "--help")[1]
        code, out, err = run("eval", other, option, "1")
        assert (code, out, err) == (2, "", f"{option} 1 has no use in {other}")


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom clipprompt.cli import main\nsys.argv = ['clipprompt', 'eval', 'base-to-novel', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'PIL', 'ray', 'open_clip'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_table_is_shown_and_the_rest_goes_to_stderr(command: list[str], world: Path) -> None:
    code, out, err = run(*command)
    assert code == 0
    assert err.splitlines()[-2].startswith("[1/1] coop/photos/base-2shots-seed1: done in ")
    assert err.splitlines()[-1] == "1 done, in sweep"
    for word in ("photos", "coop", "Base", "Novel", "HM"):
        assert word in out
    code, again, err = run(*command)
    assert (code, again) == (0, out)
    assert err.splitlines() == ["1 of 1 runs are done already", "1 done, in sweep"]


def test_runs_are_listed_with_their_state_and_nothing_is_written(command: list[str], tmp_path: Path) -> None:
    code, out, _ = run(*command, "--methods", "coop,maple", "--set", "coop:train.epochs=3", "--dry-run")
    assert code == 0
    lines = [line.split() for line in out.splitlines()[2:]]
    assert lines == [
        ["coop/photos/base-2shots-seed1", "3", "base,", "novel", "pending"],
        ["maple/photos/base-2shots-seed1", "1", "base,", "novel", "pending"],
    ]
    assert not (tmp_path / "sweep").exists()
    run(*command)
    assert run(*command, "--dry-run")[1].splitlines()[-1].split()[-1] == "done"


def test_parts_that_are_run_by_hand_are_the_whole(command: list[str]) -> None:
    more = [*command, "--seeds", "1,2,3"]
    code, table, _ = run(*more, "-o", "whole")
    assert code == 0
    for number, folder in enumerate(("parts", "elsewhere", "parts"), 1):
        assert run(*more, "--shard", f"{number}/3", "-o", folder)[0] == 0
    assert len(numbers(Path("parts"))) == 4
    together = numbers(Path("parts")) + numbers(Path("elsewhere"))
    assert sorted(together, key=json.dumps) == sorted(numbers(Path("whole")), key=json.dumps)
    assert run("report", "parts", "elsewhere")[1] == table
    assert run("report", "parts", "elsewhere", "-o", "all.jsonl")[0] == 0
    assert run("report", "all.jsonl")[1] == table


def test_records_come_as_json_lines(command: list[str]) -> None:
    code, out, _ = run(*command, "--format", "jsonl", "--predictions")
    assert code == 0
    assert [json.loads(line)["tested_subset"] for line in out.splitlines()] == ["base", "novel"]
    assert Path("sweep/coop/photos/base-2shots-seed1/predictions.jsonl").is_file()


def test_a_run_that_fails_is_named_and_the_rest_is_done(command: list[str]) -> None:
    code, out, err = run(*command, "--methods", "ivlp,coop", "--set", "ivlp:learner.depth_text=7")
    assert code == 1
    assert "coop" in out
    last = err.splitlines()[-1]
    assert last.startswith("clipprompt: ivlp/photos/base-2shots-seed1: failed: depth")
    assert last.endswith("(see sweep/ivlp/photos/base-2shots-seed1/log.txt)")
    assert "1 done, 1 failed, in sweep" in err


def test_failures_are_named_below_the_table(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--methods", "ivlp,coop", "--set", "ivlp:learner.depth_text=7"])
    assert result.output.index("HM: ") < result.output.index("1 done, 1 failed") < result.output.index("failed: depth")


def test_what_is_unusual_is_said_of_what_is_learnt_from(command: list[str]) -> None:
    code, _, err = run(*command, "--shots", "11")
    assert code == 0
    assert "photos: fewer than 11 training pictures, all of them taken: cat (5), dog (5)\n" in err
    assert err.count("fewer than") == 1  # novel classes are only tested on


def test_a_folder_may_have_a_comma_in_its_name(command: list[str], world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "photos", tmp_path / "two, photos")
    code, out, _ = run(*command, "--datasets", "two, photos")
    assert code == 0
    assert "two, photos" in out


def test_a_run_that_another_process_is_at_is_said_and_left(command: list[str]) -> None:
    folder = Path("sweep/coop/photos/base-2shots-seed1")
    assert run(*command)[0] == 0
    (folder / "results.jsonl").unlink()
    with locked(folder, ".job.lock"):
        code, _, err = run(*command)
    assert code == 1
    assert err.splitlines()[-1].startswith(f"clipprompt: {folder.relative_to('sweep')}: elsewhere: ")
    assert run(*command)[0] == 0


def test_own_data_are_found_from_any_folder(
    command: list[str], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*command, "-o", str(tmp_path / "sweep"))[0] == 0
    monkeypatch.chdir(world)
    relative = ["photos" if one == str(world / "photos") else one for one in command]
    code, _, err = run(*relative, "-o", str(tmp_path / "sweep"))
    assert code == 0
    assert "1 of 1 runs are done already" in err


MISTAKES = {
    "unknown method": (["--methods", "cop"], "there is no method 'cop' (did you mean 'coop'?)"),
    "no method": (["--methods", ","], "no method is given"),
    "method that learns from captions": (["--methods", "coop,tai_dpt"], "tai_dpt learns from captions"),
    "unknown set": (["--dataset", "caltech11"], "unknown dataset 'caltech11' (did you mean 'caltech101'?)"),
    "missing root": (["--datasets", "dtd"], "dtd needs --root, the folder that holds dtd"),
    "missing set": (["--datasets", "dtd", "--root", "."], "clipprompt data download dtd"),
    "seed twice": (["--seeds", "1,1"], "--seeds 1,1 names 1 twice"),
    "no seed": (["--seeds", "x"], "--seeds 'x' is no list of whole numbers"),
    "empty seeds": (["--seeds", ""], "--seeds '' is no list of whole numbers"),
    "no shots": (["--shots", "0"], "shot"),
    "no part": (["--shard", "9/8"], "--shard 9/8: there are parts 1 to 8"),
    "half a part": (["--shard", "3"], "--shard '3' is not of the form 3/8"),
    "unknown engine": (["--engine", "slurm"], "there is no engine 'slurm'"),
    "local jobs": (["--engine", "local", "--jobs", "2"], "--engine local runs one job at a time"),
    "unknown key": (["--set", "train.epoch=1"], "train.epoch"),
    "setting for nobody": (["--set", "cocoop:train.epochs=1"], "is for method 'cocoop'"),
    "wrong part of data": (["--part", "train"], "part 'train'"),
    "wrong format": (["--format", "tabel"], "unknown format 'tabel' (did you mean 'table'?)"),
    "source without use": (["--source", "imagenet"], "--source imagenet has no use in base-to-novel"),
    "unknown backbone": (["--backbone", "ViT-B-61"], "there is no backbone 'ViT-B-61' (did you mean 'ViT-B-16'?)"),
    "unknown weights": (["--backbone", "ViT-B-16", "--pretrained", "opnai"], "ViT-B-16 has no weights 'opnai'"),
    "absent device": (["--device", "cuda:99"], "device 'cuda:99' is not there"),
    "precision of the device": (["--precision", "fp16"], "fp16 does not work on a CPU"),
    "a file for a folder": (["-o", "notes.txt"], "-o notes.txt is a file; name a folder"),
    "a folder of something else": (["-o", "full"], "full is not empty and not the folder of a sweep"),
    "another sweep": (["-o", "few"], "few holds another sweep: protocol is 'few-shot' there"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_before_anything_runs(
    mistake: str, command: list[str], world: Path, tmp_path: Path
) -> None:
    arguments, message = MISTAKES[mistake]
    Path("notes.txt").touch()
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    Path("few").mkdir()
    Path("few/sweep.yaml").write_text("protocol: few-shot\nmethods: [coop]\ndatasets: [dtd]\n")
    before = set(tmp_path.rglob("*"))
    code, out, err = run(*command, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "\n" not in err
    assert set(tmp_path.rglob("*")) == before


def test_pictures_that_are_missing_are_found_before_anything_is_learnt(command: list[str], tmp_path: Path) -> None:
    lines = [
        f"{split}/{name}{number}.jpg,{name},{split}" for split in ("train", "test") for name in "ab" for number in "12"
    ]
    (tmp_path / "table.csv").write_text("\n".join(["path,label,split", *lines]))
    for line in lines[:4]:
        path = tmp_path / line.partition(",")[0]
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32)).save(path)
    code, out, err = run(*command, "--datasets", "table.csv")
    assert (code, out) == (2, "")
    assert "test/a1.jpg" in err
    assert not Path("sweep").exists()


def test_no_job_at_a_time_is_refused(command: list[str]) -> None:
    code, out, err = run(*command, "--jobs", "0")
    assert (code, out) == (2, "")
    assert "--jobs" in err


def test_ray_that_is_not_installed_is_one_line(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = run(*command, "--engine", "ray")
    assert (code, err) == (2, "--engine ray needs Ray: pip install 'clipprompt[ray]'")
    assert not Path("sweep").exists()


def test_a_full_disk_fails_a_run_in_one_line(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        code, _, err = run(*command)
    assert code == 1
    assert "failed" in err.splitlines()[-1]
    assert "No space left on device" in err.splitlines()[-1]
    assert run(*command)[0] == 0

"""``clipprompt eval partial-label`` and its like as a user sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_train import run
from tests.sweep.conftest import numbers, one_thread, world
from tests.sweep.several import write_several

__all__ = ["one_thread", "world"]
ENSEMBLE = "dualcoop+tai_dpt/several/all-known0.5-seed1"


LEARN = ("train.epochs=2", "train.batch_size=8", "train.val_fraction=0.3")
QUICK = (*LEARN, "data.augment=null", "data.templates=false", "image_size=null")


@pytest.fixture
def data(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A small set and a tiny backbone, for runs in ``sweep``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("CLIPPROMPT_CACHE", str(tmp_path / "cache"))
    given = ["--datasets", str(write_several(world)), "--backbone", str(world / "tiny"), "--device", "cpu"]
    return [*given, "--seeds", "1", "-o", "sweep", *(one for setting in QUICK for one in ("--set", setting))]


@pytest.fixture
def pictures(data: list[str]) -> list[str]:
    """Partial labels, without captions."""
    return ["eval", "partial-label", *data, "--methods", "dualcoop", "--known", "0.5"]


@pytest.fixture
def command(pictures: list[str], world: Path) -> list[str]:
    """The same with an ensemble."""
    return [*pictures, "--captions", str(world / "captions.parquet"), "--methods", "dualcoop+tai_dpt"]


def test_runs_are_listed_members_before_their_ensemble(command: list[str]) -> None:
    code, out, err = run(*command, "--dry-run")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["dualcoop/several/all-known0.5-seed1", "2", "all", "pending"],
        ["tai_dpt/several/all-seed1", "2", "all", "pending"],
        [ENSEMBLE, "all", "pending"],
    ]
    assert not Path("sweep").exists()


def test_parts_leave_the_ensembles_to_the_whole_and_say_so(command: list[str]) -> None:
    for part in ("1/2", "2/2"):
        code, _, err = run(*command, "--shard", part)
        assert code == 0
        assert "1 ensemble is left for the end: once all parts are done, the same command without --shard" in err
    assert len(numbers(Path("sweep"))) == 2
    code, out, err = run(*command, "--format", "jsonl")
    assert code == 0
    assert "2 of 3 runs are done already" in err
    assert err.splitlines()[-2].startswith(f"[3/3] {ENSEMBLE}: done in ")
    assert {record["method"]: record["known"] for record in map(json.loads, out.splitlines())} == {
        "dualcoop": 0.5,
        "tai_dpt": None,
        "dualcoop+tai_dpt": 0.5,
    }
    code, table, err = run(*command)
    assert code == 0
    assert err.splitlines() == ["3 of 3 runs are done already", "3 done, in sweep"]
    assert "dualcoop+tai_dpt" in table
    assert max(map(len, table.splitlines())) <= 80


def test_an_ensemble_without_its_member_is_named_without_a_log(command: list[str]) -> None:
    code, _, err = run(*command, "--set", "dualcoop:n_ctx=999")
    assert code == 1
    assert "1 done, 2 failed, in sweep" in err
    assert err.splitlines()[-1] == (
        f"clipprompt: {ENSEMBLE}: failed: lacks its member dualcoop/several/all-known0.5-seed1"
    )


def test_curves_are_drawn_into_the_folder_of_the_runs_and_named(data: list[str]) -> None:
    few = ["eval", "few-shot-multilabel", *data, "--methods", "dualcoop", "--shots", "1"]
    code, out, err = run(*few)
    assert code == 0
    assert "dualcoop" in out
    (curves,) = (line for line in err.splitlines() if line.startswith("curves in "))
    assert Path(curves.removeprefix("curves in ")).parent == Path("sweep")
    assert Path(curves.removeprefix("curves in ")).read_bytes().startswith(b"\x89PNG")
    assert run(*few, "--plots", "figures")[0] == 0
    assert list(Path("figures").iterdir())


def test_shares_methods_and_captions_may_come_later(pictures: list[str], command: list[str]) -> None:
    assert run(*pictures)[0] == 0
    code, out, _ = run(*command, "--known", "0.9,0.5", "--dry-run")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()[2:]] == ["pending", "done", "pending", "pending", "pending"]


def test_partial_labels_of_drawn_scenes_need_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("eval", "partial-label", "--datasets", "mini", "--dry-run", "--format", "md")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()[2:]]
    assert len(names) == len(set(names)) == 1 + 27 + 3 + 27  # zero shots, DualCoOp, TaI-DPT, both
    assert names[-1] == "dualcoop+tai_dpt/mini/all-known0.9-seed3"


MISTAKES = {
    "share in percent": (["--known", "10"], "known labels 10 are no share"),
    "no share": (["--known", "0"], "known labels 0 are no share"),
    "misspelt share": (["--known", "single-positiv"], "(did you mean 'single-positive'?)"),
    "empty shares": (["--known", ","], "--known ',' names no share of the labels"),
    "share twice": (["--known", "0.5,0.50"], "--known 0.5,0.50 names 0.5 twice"),
    "unknown method": (["--methods", "dualcop"], "'dualcop'"),
    "half an ensemble": (["--methods", "dualcoop+"], "ensemble 'dualcoop+' lacks a member"),
    "a member twice": (["--methods", "dualcoop+dualcoop"], "has dualcoop twice"),
    "a source that a learner has not": (["--methods", "dualcoop:captions"], "dualcoop learns from images alone"),
    "an unknown source": (["--methods", "tai_dpt:image"], "(did you mean 'images'?)"),
    "a setting of an ensemble": (["--set", "dualcoop+tai_dpt:train.epochs=1"], "is for an ensemble, which has none"),
    "captions without use": (["--methods", "zero_shot"], "has no use in partial-label without a method that learns"),
    "a corpus that is not there": (["--captions", "gone.parquet"], "gone.parquet"),
    "captions that are no corpus": (["--captions", "notes.txt"], "notes.txt"),
    "a set of one class a picture": (["--datasets", "dtd"], "dtd has one class to a picture"),
    "a split": (["--datasets", "voc2007:test"], "leave out :test"),
    "missing root": (["--datasets", "voc2007"], "voc2007"),
    "halves without use": (["--class-splits", "1"], "--class-splits 1 has no use in partial-label"),
    "curves without use": (["--plots", "figures"], "--plots figures has no use in partial-label"),
    "a folder of another protocol": (["-o", "few"], "few holds another sweep: protocol is 'few-shot-multilabel' there"),
    "two backbones": (["--set", "tai_dpt:backbone.precision=bf16"], "give them one"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_before_anything_runs(mistake: str, command: list[str], tmp_path: Path) -> None:
    arguments, message = MISTAKES[mistake]
    Path("notes.txt").write_text("a cat\n")
    Path("few").mkdir()
    Path("few/sweep.yaml").write_text("protocol: few-shot-multilabel\nmethods: [dualcoop]\ndatasets: [mini]\n")
    before = set(tmp_path.rglob("*"))
    code, out, err = run(*command, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "\n" not in err
    assert set(tmp_path.rglob("*")) == before


def test_a_method_of_captions_asks_for_them(pictures: list[str]) -> None:
    code, out, err = run(*pictures, "--methods", "tai_dpt")
    assert (code, out) == (2, "")
    assert "tai_dpt learns from captions, and " in err
    assert "give --captions FILE.parquet" in err

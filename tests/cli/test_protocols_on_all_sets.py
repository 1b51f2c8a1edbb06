"""Every protocol on miniatures of all 15 sets in their true formats, from the command line to the table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from clipprompt.cli import main
from clipprompt.datasets.classification.specifications import ELEVEN, FIFTEEN, VARIANTS
from clipprompt.evaluation.records import read_records
from tests.datasets.classification.miniatures import classnames_of, make_miniature

METHODS = {"zero_shot": None, "coop": 1}  # and shots


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[True, False], ids=["split files", "official files"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in FIFTEEN:
        make_miniature(name, folder, n_classes=5, per_class=5, split_file=request.param)
    return folder


def _run(line: str, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Runs ``clipprompt eval``, for a fraction of a second each; returns all records."""
    settings = f"--methods {','.join(METHODS)} --seeds 1 --set coop:train.epochs=1 --set coop:n_ctx=2 --no-cache"
    where = ["--root", str(root), "--backbone", "mini-vit", "--device", "cpu", "-o", str(folder)]
    monkeypatch.setattr(sys, "argv", ["clipprompt", "eval", *line.split(), *settings.split(), *where])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    return [record for path in sorted(folder.rglob("results.jsonl")) for record in read_records(path)]


def test_base_to_novel_on_the_eleven(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = _run("base-to-novel --datasets all --shots 2", root, tmp_path / "runs", monkeypatch)
    tests = sorted((record["method"], record["dataset"], record["tested_subset"]) for record in records)
    assert tests == sorted((method, name, half) for method in METHODS for name in ELEVEN for half in ("base", "novel"))
    for record in records:
        names = classnames_of(record["dataset"], 5)
        assert record["classnames"] == {"base": names[:3], "novel": names[3:]}[record["tested_subset"]]
        assert record["n_images"] == 2 * len(record["classnames"])
        assert record["split_source"].endswith("; not of the official size")
    out = capsys.readouterr().out
    assert all(name in out for name in ELEVEN)
    assert "average of 11 sets" in out


def test_few_shot_on_the_eleven(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = _run("few-shot --datasets all --shots 1", root, tmp_path / "runs", monkeypatch)
    tests = {(record["method"], record["dataset"], record["shots"], record["tested_subset"]) for record in records}
    assert tests == {(method, name, shots, "all") for method, shots in METHODS.items() for name in ELEVEN}


@pytest.mark.parametrize(("protocol", "targets"), [("cross-dataset", ELEVEN[1:]), ("domain", VARIANTS)])
def test_from_imagenet_to_all_others(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, targets: tuple[str, ...]
) -> None:
    records = _run(f"{protocol} --shots 1", root, tmp_path / "runs", monkeypatch)
    assert {(record["method"], record["dataset"]) for record in records} == {
        (method, name) for method in METHODS for name in ("imagenet", *targets)
    }
    assert {record["trained_on"] for record in records if record["method"] == "coop"} == {"imagenet"}
    of_coop = [record["draw_hash"] for record in records if record["method"] == "coop"]
    assert len(set(of_coop)) == 1

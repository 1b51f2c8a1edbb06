from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipprompt.errors import UserError
from clipprompt.files import write_text
from clipprompt.reports.protocols.reproduce import sweep_command
from clipprompt.sweep.request import REQUEST, Request, claim_folder

FULL = Request(
    protocol="few-shot",
    methods=("coop", "maple"),
    datasets=("dtd", "my photos"),
    seeds=(1, 2, 3),
    shots=(1, None),
    class_splits=(0, 2),
    settings=("backbone.name=RN50", 'learner.ctx_init="a photo of a"'),
    source="imagenet",
    part="val",
    root="/data sets",
)


def test_the_command_says_all_that_was_asked_for(tmp_path: Path) -> None:
    claim_folder(tmp_path / "sweep", FULL)
    assert sweep_command(tmp_path / "sweep" / REQUEST) == (
        "clipprompt eval few-shot --methods coop,maple --datasets 'dtd,my photos' --seeds 1,2,3 --shots 1,all "
        "--class-splits 0,2 --set backbone.name=RN50 --set 'learner.ctx_init=\"a photo of a\"' --source imagenet "
        f"--part val --root '/data sets' -o {tmp_path / 'sweep'}"
    )


def test_known_labels_and_captions_are_said(tmp_path: Path) -> None:
    request = Request(
        protocol="partial-label",
        methods=("dualcoop", "tai_dpt:both"),
        datasets=("mini",),
        known=(0.1, "single-positive", None),
        captions="my captions.parquet",
    )
    claim_folder(tmp_path / "sweep", request)
    assert sweep_command(tmp_path / "sweep" / REQUEST) == (
        "clipprompt eval partial-label --methods dualcoop,tai_dpt:both --datasets mini --known 0.1,single-positive,all "
        f"--captions 'my captions.parquet' -o {tmp_path / 'sweep'}"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shares": (0.1, 1.0)}, "--shares 0.1,1.0"),
        ({"grid": ("train.lr=0.1,0.01", "vpt-deep:n_ctx=1,5")}, "--grid train.lr=0.1,0.01 --grid vpt-deep:n_ctx=1,5"),
        ({"searches": False}, "--no-grid"),
    ],
)
def test_shares_and_grids_are_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    claim_folder(tmp_path / "sweep", Request("visual-tuning", ("linear",), ("mini-objects",), **changes))
    command = sweep_command(tmp_path / "sweep" / REQUEST)
    start = "clipprompt eval visual-tuning --methods linear --datasets mini-objects"
    assert command == f"{start} {said} -o {tmp_path / 'sweep'}"


def test_what_is_usual_is_not_said(tmp_path: Path) -> None:
    claim_folder(tmp_path / "sweep", Request("zero-shot", ("zero_shot",), ("mini-objects",)))
    command = sweep_command(tmp_path / "sweep" / REQUEST)
    assert command == f"clipprompt eval zero-shot --methods zero_shot --datasets mini-objects -o {tmp_path / 'sweep'}"


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00"], ids=["list", "cut off", "binary"])
def test_a_file_that_no_sweep_wrote_is_refused(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / REQUEST, text)
    with pytest.raises(UserError, match=REQUEST):
        sweep_command(tmp_path / REQUEST)


def test_strange_values_do_not_break_the_shell(tmp_path: Path) -> None:
    write_text(tmp_path / REQUEST, "protocol: $(rm x); y\nsettings: 3\nmethods: {a: b}\n")
    assert sweep_command(tmp_path / REQUEST) == f"clipprompt eval '$(rm x); y' -o {tmp_path}"

"""Prompts that travel: another process, folder, precision and class names; and folders that are not what they seem."""

from __future__ import annotations

import json
import logging
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import clipprompt.mini
from clipprompt.backbone import Backbone, load_backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner, load_learner, load_recorded_backbone, read_description
from tests.conftest import assert_close

GONE = "(taken out)"
NAMES = ["red bus", "zebra", "crème brûlée"]
CHILD = """
import json, sys, torch
from clipprompt import load_backbone, load_learner
folder, saved, out = sys.argv[1:4]
results = []
for precision in ("fp32", "bf16"):
    backbone = load_backbone(folder, device="cpu", precision=precision)
    learner = load_learner(saved, backbone, json.loads(sys.argv[4]))
    print(precision, file=sys.stderr)
    with torch.no_grad():
        results.append(learner(torch.load(out, weights_only=True)))
torch.save(results, out)
"""


@pytest.fixture
def saved(tiny_vit_backbone: Backbone, tmp_path: Path) -> Path:
    create_learner("coop", tiny_vit_backbone, ["cat", "dog"], n_ctx=4).save(tmp_path / "run")
    return tmp_path / "run"


def _edit(folder: Path, **changes: Any) -> None:
    """Changes keys of prompt.json; ``backbone__name`` is the name within the backbone, and GONE takes a key out."""
    path = folder / "prompt.json"
    found = json.loads(path.read_text())
    for key, value in changes.items():
        section, _, inner = key.rpartition("__")
        target = found[section] if section else found
        target[inner] = value
        if value is GONE:
            del target[inner]
    path.write_text(json.dumps(found))


def test_a_prompt_loads_in_another_process_from_another_folder_in_another_precision_with_other_classes(
    tmp_path: Path,
) -> None:
    backbone = load_backbone("mini", device="cpu")
    learner = create_learner("coop", backbone, ["cat", "dog"], n_ctx=4, class_token_position="middle")
    learner.save(tmp_path / "run")
    folder = shutil.copytree(Path(clipprompt.mini.__file__).parent / "assets", tmp_path / "elsewhere")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.save(images, tmp_path / "out.pt")
    child = [sys.executable, "-c", CHILD, folder, tmp_path / "run", tmp_path / "out.pt", json.dumps(NAMES)]
    done = subprocess.run(child, capture_output=True, text=True, check=True)
    exact, rounded = torch.load(tmp_path / "out.pt", weights_only=True)
    learner.set_classes(NAMES)
    with torch.no_grad():
        expected = learner(images)
    assert_close(exact, expected, 1e-5)
    assert_close(rounded, expected, 0.1)
    assert not torch.equal(rounded, exact)
    first, warning, last = done.stderr.splitlines()
    assert first == "fp32", "the same weights under another name are the same backbone"
    assert warning.endswith(f"{tmp_path / 'run'} was learnt on another backbone: name 'mini', now '{folder}'")
    assert last == "bf16"


@pytest.mark.parametrize("name", ["coop", "cocoop", "maple", "tai_dpt"])
def test_prompts_are_as_good_on_a_backbone_of_another_precision(
    name: str, tiny_vit_backbone: Backbone, tmp_path: Path
) -> None:
    depth = {"depth": 2} if name == "maple" else {}
    learner = create_learner(name, tiny_vit_backbone, ["cat", "dog"], **depth)
    learner.save(tmp_path)
    rough = Backbone.from_open_clip(
        deepcopy(tiny_vit_backbone.model).bfloat16(), tiny_vit_backbone.tokenizer, name="tiny_vit"
    )
    again = load_learner(tmp_path, rough, NAMES)
    assert all(
        torch.equal(p, learner.state_dict()[k]) and p.dtype == torch.float32 for k, p in again.named_parameters()
    )
    learner.set_classes(NAMES)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert_close(again(images), learner(images), 0.1)


OTHERS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"backbone__name": "/old/folder"}, None),
    ({"backbone__fingerprint": "0" * 16}, r"fingerprint '0{16}', now '[0-9a-f]{16}'"),
    (
        {"backbone__fingerprint": "0" * 16, "backbone__name": "RN50", "backbone__pretrained": "openai"},
        "name 'RN50', now 'tiny_vit'; pretrained 'openai', now None; fingerprint .*",
    ),
    ({"backbone__precision": "bf16", "backbone__fingerprint": "0" * 16}, None),
    ({"backbone__precision": "bf16", "backbone__pretrained": "openai"}, "pretrained 'openai', now None"),
    ({"backbone__image_size": 336}, None),
]


@pytest.mark.parametrize(("changes", "message"), OTHERS)
def test_it_is_said_what_differs_between_the_backbones(
    changes: dict[str, Any],
    message: str | None,
    saved: Path,
    tiny_vit_backbone: Backbone,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _edit(saved, **changes)
    with caplog.at_level(logging.WARNING, "clipprompt"):
        load_learner(saved, tiny_vit_backbone)
    assert len(caplog.messages) == (0 if message is None else 1)
    if message is not None:
        expected = f"{re.escape(str(saved))} was learnt on another backbone: {message}"
        assert re.fullmatch(expected, caplog.messages[0])


def _error(folder: Path, backbone: Backbone | None) -> str:
    with pytest.raises(UserError) as error:
        load_learner(folder, backbone)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


DESCRIPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"format": 2}, "has format 2; this clipprompt reads up to 1: update clipprompt"),
    ({"format": GONE}, "'format' is missing"),
    ({"format": "1"}, "'format' is \"1\", which is of the wrong kind"),
    ({"method": "promptsrc2"}, "there is no method 'promptsrc2'"),
    ({"method": ["coop"]}, "'method' is [\"coop\"], which is of the wrong kind"),
    ({"method": "../coop"}, "there is no method '../coop'"),
    ({"classnames": "cat"}, "'classnames' is \"cat\""),
    ({"classnames": []}, "there are no class names"),
    ({"classnames": ["cat", 3]}, "3 is a int"),
    ({"classnames": ["cat", "word " * 90]}, "is too long"),
    ({"options__n_cxt": 4}, "coop has no option 'n_cxt' (did you mean 'n_ctx'?)"),
    ({"options__seed": 4}, "coop has no option 'seed'"),
    ({"options__n_ctx": "4"}, "option n_ctx = '4'"),
    ({"options__n_ctx": float("nan")}, "option n_ctx = nan"),
    ({"options__n_ctx": 10**12}, "n_ctx 1000000000000 is too large"),
    ({"options": [4]}, "'options' is [4]"),
    ({"backbone": GONE}, "'backbone' is missing"),
    ({"backbone__name": 7}, "'backbone.name' is 7"),
    ({"backbone__image_size": "big"}, "'backbone.image_size' is \"big\""),
    ({"backbone__precision": None}, "'backbone.precision' is missing"),
]


@pytest.mark.parametrize(("changes", "message"), DESCRIPTIONS, ids=lambda value: str(value)[:40])
def test_a_wrong_description_gets_one_line(
    changes: dict[str, Any], message: str, saved: Path, tiny_vit_backbone: Backbone
) -> None:
    _edit(saved, **changes)
    assert message in _error(saved, tiny_vit_backbone)


TEXTS = ["", "{", "[1, 2]", "null", "\ufeff{}", '{"format": 1', "[" * 100_000]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:12]))
def test_a_description_that_is_no_json_object_gets_one_line(
    text: str, saved: Path, tiny_vit_backbone: Backbone
) -> None:
    (saved / "prompt.json").write_text(text, encoding="utf-8")
    assert "prompt.json" in _error(saved, tiny_vit_backbone)


WEIGHTS: list[tuple[Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], str]] = [
    (lambda found: {}, "parameter 'ctx' is missing"),
    (lambda found: {**found, "more": torch.zeros(1)}, "parameter 'more' is not one of this method"),
    (
        lambda found: {"ctx": found["ctx"][:3].clone()},
        "'ctx' has shape (3, 128), but with backbone 'tiny_vit' it needs",
    ),
    (lambda found: {"ctx": found["ctx"][:, :64].clone()}, "needs (4, 128); it was learnt on 'tiny_vit'"),
    (lambda found: {"ctx": found["ctx"].index_fill(0, torch.tensor(1), torch.nan)}, "'ctx' holds values that are not"),
    (lambda found: {"ctx": found["ctx"].index_fill(0, torch.tensor(3), torch.inf)}, "'ctx' holds values that are not"),
    (lambda found: {"ctx": found["ctx"].long()}, "'ctx' holds int64, not floating point"),
]


@pytest.mark.parametrize(("change", "message"), WEIGHTS, ids=[message for _, message in WEIGHTS])
def test_wrong_weights_get_one_line(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    message: str,
    saved: Path,
    tiny_vit_backbone: Backbone,
) -> None:
    path = saved / "prompt.safetensors"
    save_file(change(load_file(path)), path)
    assert message in _error(saved, tiny_vit_backbone)


def _huge(size: int) -> bytes:
    header = json.dumps({"ctx": {"dtype": "F32", "shape": [4, 128 * size], "data_offsets": [0, 2048 * size]}}).encode()
    return struct.pack("<Q", len(header)) + header


FILES: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda whole: b"", "cannot be read"),
    (lambda whole: whole[:50], "cannot be read"),
    (lambda whole: whole[:-1], "cannot be read"),
    (lambda whole: whole + b"x", "cannot be read"),
    (lambda whole: b"PK\x03\x04" + whole, "cannot be read"),
    (lambda whole: b"\x80\x04c__builtin__\neval\n", "cannot be read"),
    (lambda whole: struct.pack("<Q", 2**62) + whole[8:], "cannot be read"),
    (lambda whole: _huge(2**30), "cannot be read"),
]


@pytest.mark.parametrize(("change", "message"), FILES)
def test_a_broken_weights_file_gets_one_line(
    change: Callable[[bytes], bytes], message: str, saved: Path, tiny_vit_backbone: Backbone
) -> None:
    path = saved / "prompt.safetensors"
    path.write_bytes(change(path.read_bytes()))
    assert message in _error(saved, tiny_vit_backbone)


@pytest.mark.parametrize(("size", "message"), [(2**19, "'ctx' has shape"), (2**29, "prompt.safetensors")])
def test_gigantic_weights_are_refused_before_they_are_read(
    size: int, message: str, saved: Path, tiny_vit_backbone: Backbone
) -> None:
    """A gigabyte, and a terabyte that not every system even maps, as a hole in the file."""
    path = saved / "prompt.safetensors"
    header = _huge(size)
    path.write_bytes(header)
    with path.open("rb+") as file:
        file.truncate(len(header) + 2048 * size)
    assert message in _error(saved, tiny_vit_backbone)


@pytest.mark.parametrize("missing", ["prompt.json", "prompt.safetensors"])
def test_a_missing_file_is_named(missing: str, saved: Path, tiny_vit_backbone: Backbone) -> None:
    (saved / missing).unlink()
    assert missing in _error(saved, tiny_vit_backbone)
    (saved / missing).mkdir()
    assert missing in _error(saved, tiny_vit_backbone)


def test_other_class_names_that_do_not_fit_are_told(saved: Path, tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="'cat' is given twice"):
        load_learner(saved, tiny_vit_backbone, ["cat", "cat"])


def test_a_backbone_that_is_not_here_is_told(saved: Path) -> None:
    message = "the backbone that the prompt was learnt on: there is no backbone 'tiny_vit'"
    with pytest.raises(UserError, match=message):
        load_learner(saved)
    recorded = read_description(saved)["backbone"]
    with pytest.raises(UserError, match=message):
        load_recorded_backbone(recorded, device="cpu", precision="bf16")


def test_half_precision_prompts_become_float32(saved: Path, tiny_vit_backbone: Backbone) -> None:
    path = saved / "prompt.safetensors"
    halves = {key: value.half() for key, value in load_file(path).items()}
    save_file(halves, path)
    ctx = load_learner(saved, tiny_vit_backbone).state_dict()["ctx"]
    assert ctx.dtype == torch.float32
    assert torch.equal(ctx, halves["ctx"].float())

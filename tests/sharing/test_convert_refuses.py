"""Bad checkpoints and wrong requests: one line each, nothing run and nothing written."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from clipprompt.backbone import Backbone
from clipprompt.cli import main
from clipprompt.errors import UserError
from clipprompt.sharing.convert import convert, open_original
from tests.conftest import Golden
from tests.sharing.originals import maple_state, original_state, write_original
from tests.training._worker import write_backbone

Load = Callable[[str], Golden]


class Bomb:
    """Unpickled by a careless reader, it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def broken(folder: Path) -> dict[str, Path]:
    """Files that are no checkpoints, or dangerous ones."""
    good = write_original(folder / "good.tar", {"ctx": torch.zeros(4, 128)})
    files = {
        name: folder / f"{name}.tar" for name in ("cut", "text", "empty", "bomb", "inside", "old", "list", "words")
    }
    files["cut"].write_bytes(good.read_bytes()[:-200])
    files["text"].write_text("no checkpoint at all")
    files["empty"].write_bytes(b"")
    torch.save({"state_dict": {"ctx": torch.zeros(4, 128)}, "extra": Bomb(folder / "exploded")}, files["bomb"])
    torch.save({"state_dict": {"ctx": Bomb(folder / "exploded")}}, files["inside"])
    files["old"].write_bytes(pickle.dumps({"state_dict": Bomb(folder / "exploded")}))
    torch.save([torch.zeros(2)], files["list"])
    torch.save({"state_dict": {"ctx": "a photo of a"}}, files["words"])
    files["safetensors"] = folder / "prompt.safetensors"
    save_file({"ctx": torch.zeros(4, 128)}, files["safetensors"])
    (folder / "nothing").mkdir()
    files["nothing"] = folder / "nothing"
    files["absent"] = folder / "absent"
    return files


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent", "there is no checkpoint"),
        ("nothing", "has no checkpoint: no model.pth.tar-N"),
        ("cut", "cannot be read: it is broken, cut short"),
        ("text", "without running code in it"),
        ("empty", "cannot be read: it is broken"),
        ("safetensors", "it has no 'state_dict'|without running code in it"),  # newer PyTorch reads it
        ("list", "it has no 'state_dict'"),
        ("words", "'ctx' in its 'state_dict' is a str, not a tensor"),
        ("bomb", r"is refused: it would run \w+\.mkdir"),
        ("inside", r"is refused: it would run \w+\.mkdir"),
        ("old", "without running code in it"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_and_nothing_runs(name: str, said: str, tmp_path: Path) -> None:
    file = broken(tmp_path)[name]
    with pytest.raises(UserError, match=said) as refusal:
        open_original(file)
    assert str(file) in str(refusal.value)
    assert not (tmp_path / "exploded").exists()


def test_the_bomb_would_go_off_elsewhere(tmp_path: Path) -> None:
    torch.load(broken(tmp_path)["bomb"], weights_only=False)
    assert (tmp_path / "exploded").exists()


CTX = torch.zeros(4, 128)


def deep_key(layer: int) -> Golden:
    return {f"image_encoder.transformer.resblocks.{layer}.VPT_shallow": CTX}


PROJ = {"proj.weight": torch.zeros(128, 128), "proj.bias": torch.zeros(128)}
KEYS: list[tuple[dict[str, torch.Tensor], str, str]] = [
    ({}, "auto", "there is no key 'ctx', but none at all"),
    ({"weight": CTX}, "auto", "there is no key 'ctx', but weight"),
    ({"ctx_pos": CTX, "ctx_neg": CTX}, "auto", "there is no key 'ctx', but ctx_pos, ctx_neg"),
    ({"ctx": CTX, "ctx_neg": CTX}, "auto", "key 'ctx_neg' is not one of its own"),
    ({"prompt_learner.ctx": CTX, "image_encoder.VPT": CTX}, "coop", "the keys are those of ivlp"),
    ({"image_encoder.VPT": CTX}, "ivlp", "the keys are those of vpt"),
    ({"image_encoder.VPT": CTX, **deep_key(2)}, "auto", "prompts for layer 2, but none for layer 1"),
    ({"prompt_learner.ctx": CTX, **deep_key(1)}, "auto", "none for its input"),
    ({"image_encoder.VPT": CTX[:2], **deep_key(1)}, "auto", "layer 1 have another shape"),
    ({"image_encoder.VPT": CTX / 0}, "auto", "its visual_ctx has shape .*not finite"),
    ({"ctx": CTX, "meta_net.linear1.weight": CTX}, "auto", "key 'meta_net.linear1.bias' is missing"),
    ({"ctx": CTX, **PROJ, "compound_prompts_text.1": CTX}, "auto", "'compound_prompts_text.0' is missing"),
    ({"ctx": CTX, **PROJ, "compound_prompts_text.0": CTX}, "auto", "'compound_prompt_projections.0.weight' is missing"),
    ({"ctx": CTX, "ctx_double": CTX[:2]}, "auto", r"shapes \(4, 128\) and \(2, 128\)"),
    ({"ctx": CTX, "ctx_double": CTX, "temperature": CTX}, "auto", "'temperature' has shape"),
    ({"ctx": CTX}, "maple", "--method maple does not fit: the keys are those of coop"),
    ({"ctx": CTX}, "mapel", r"'mapel' is not one of .*did you mean 'maple'"),
    ({"ctx": CTX[0]}, "auto", r"'ctx' has shape \(128,\), which is no context"),
    ({"ctx": CTX.long()}, "auto", "does not hold finite numbers"),
    ({"ctx": CTX / 0}, "auto", "does not hold finite numbers"),
]


@pytest.mark.parametrize(("state", "method", "said"), KEYS, ids=[said for _, _, said in KEYS])
def test_keys_that_do_not_fit_are_named(state: Golden, method: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        open_original(write_original(tmp_path / "model.pth.tar-1", state), method)


def test_what_does_not_fit_the_backbone_is_named(
    tmp_path: Path, tiny_vit_backbone: Backbone, tiny_rn_backbone: Backbone, golden: Load, texts: dict[str, list[str]]
) -> None:
    names, vit = texts["classnames"], tiny_vit_backbone
    own = original_state(golden("coop_csc_end"), vit)
    swapped = [names[1], names[0], *names[2:]]
    narrow = {**original_state(golden("cocoop"), vit), "meta_net.linear1.weight": torch.zeros(4, 32)}
    shallow = maple_state(golden("maple"), vit)
    cases: list[tuple[Golden, Backbone, list[str], dict[str, Any], str]] = [
        ({"ctx": torch.zeros(4, 512)}, vit, names, {}, "width 512, but tiny_vit has 128"),
        (own, vit, names[:5], {}, "a context for each of 7 classes, but 5 were given"),
        (own, vit, swapped, {}, "class 1 is 'cat' there, not 'traffic light'"),
        (narrow, vit, names, {}, r"'meta_net.linear1.weight' has shape \(4, 32\)"),
        (shallow, tiny_rn_backbone, names, {}, "maple needs a transformer image tower"),
        (own, vit, ["cat", "Cat"], {}, "7 classes, but 2 were given"),
        ({"ctx": CTX}, vit, ["cat", "Cat"], {}, "'Cat' is given twice"),
        ({"ctx": CTX}, vit, names, {"class_token_postion": "end"}, "did you mean 'class_token_position'"),
        ({"ctx": CTX}, vit, names, {"n_ctx": 8}, r"'ctx' has shape \(4, 128\), but coop on tiny_vit has \(8, 128\)"),
        ({**own, "token_suffix": CTX}, vit, names, {}, "'token_suffix' has shape"),
    ]
    for number, (state, backbone, classes, options, said) in enumerate(cases):
        original = open_original(write_original(tmp_path / f"{number}.tar", state))
        with pytest.raises(UserError, match=said):
            convert(original, backbone, classes, options)


def test_words_that_the_original_left_over_are_refused(
    tmp_path: Path, tiny_vit_backbone: Backbone, golden: Load, texts: dict[str, list[str]]
) -> None:
    state = original_state(golden("coop_end"), tiny_vit_backbone, n_ctx=3)  # "X X X X": the fourth is left over
    with pytest.raises(UserError, match="the words 'x' stand between its context and the names"):
        convert(open_original(write_original(tmp_path / "m.tar", state)), tiny_vit_backbone, texts["classnames"])


COMMANDS = [
    ("model.tar -o out --classes cat,dog", "Missing option '--backbone'"),
    ("model.tar -o out --backbone tiny --classes cat,dog,cat", "cat"),
    ("model.tar -o out --backbone tiny --classes voc2008", "voc2007"),
    ("model.tar -o out --backbone tiny --classes cat,!", "no word in it"),
    ("model.tar -o full --backbone tiny --classes cat,dog", "full is there already"),
    ("model.tar -o model.tar --backbone tiny --classes cat,dog", "model.tar is there already"),
    ("absent.tar -o out --backbone tiny --classes cat,dog", "absent.tar"),
    ("model.tar n_ctx -o out --backbone tiny --classes cat,dog", "key=value"),
    ("model.tar -o out --backbone none --classes cat,dog", "there is no backbone 'none'"),
    ("model.tar -o out --backbone tiny --classes cat,dog --method clip", "--method 'clip'"),
    ("bomb.tar -o out --backbone tiny --classes cat,dog", "bomb.tar is refused"),
    ("wide.tar -o out --backbone tiny --classes cat,dog", "width 512"),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("backbones") / "tiny")


@pytest.fixture
def folder(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "tiny").symlink_to(tiny)
    write_original(tmp_path / "model.tar", {"ctx": CTX})
    write_original(tmp_path / "wide.tar", {"ctx": torch.zeros(4, 512)})
    torch.save(Bomb(tmp_path / "exploded"), tmp_path / "bomb.tar")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    return tmp_path


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["clipprompt", "convert", *command.split()])
    try:
        main()
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize(("command", "named"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_mistake_at_the_command_line_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, named: str
) -> None:
    assert run(command, monkeypatch) == 2
    printed = capsys.readouterr()
    assert named in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not (folder / "out").exists()
    assert not (folder / "exploded").exists()
    assert (folder / "full" / "thesis.tex").read_text() == "precious"


def test_the_command_prints_the_folder_and_says_what_it_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(folder / "model.tar", folder / "full" / "model.pth.tar-50")
    command = "full class_token_position=front -o out --backbone tiny --classes cat,dog"
    assert run(command, monkeypatch) in (0, None)
    printed = capsys.readouterr()
    assert printed.out == "out\n"
    assert "full/model.pth.tar-50 (epoch 5): coop" in printed.err
    assert "could not be checked" in printed.err
    assert "class name is taken" not in printed.err  # it was said

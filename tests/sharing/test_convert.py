"""The originals' checkpoints, made from golden numbers, give the golden logits here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import DenseLearner, load_learner
from clipprompt.sharing._checkpoint import _load, _StandIn, find_checkpoint
from clipprompt.sharing._keys import read_prompt
from clipprompt.sharing.convert import Converted, convert, open_original
from tests.conftest import Golden, assert_close
from tests.sharing.originals import maple_state, original_state, tai_dpt_state, tower_state, write_original

FORWARD = 1e-4
Load = Callable[[str], Golden]
Texts = dict[str, list[str]]


@pytest.fixture
def vit(tiny_vit_backbone: Backbone) -> Backbone:
    return tiny_vit_backbone


def converted(
    state: Golden, folder: Path, backbone: Backbone, names: list[str], options: dict[str, Any] | None = None
) -> Converted:
    """The way of the command: write, read, build."""
    return convert(open_original(write_original(folder / "model.pth.tar-5", state)), backbone, names, options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("coop_end", {}),
        ("coop_middle", {"class_token_position": "middle"}),
        ("coop_front", {"class_token_position": "front"}),
        ("coop_csc_end", {}),
        ("coop_ctxinit", {}),
        ("cocoop", {}),
        ("maple", {}),
        ("maple_shallow", {}),
    ],
)
def test_a_converted_prompt_gives_the_originals_logits(
    name: str, options: dict[str, Any], tmp_path: Path, vit: Backbone, golden: Load, inputs: Golden, texts: Texts
) -> None:
    numbers, names = golden(name), texts["classnames"]
    state = maple_state(numbers, vit) if name.startswith("maple") else original_state(numbers, vit)
    learner, _ = converted(state, tmp_path, vit, names, options)
    learner.save(tmp_path / "prompt")
    loaded = load_learner(tmp_path / "prompt", vit)
    assert loaded.name == name.partition("_")[0]
    with torch.no_grad():
        assert_close(loaded(inputs["images_vit"]), numbers["logits_final"], FORWARD)


@pytest.mark.parametrize(
    ("name", "method", "notes"),
    [
        ("vpt_shallow", "vpt", ["could not be checked"]),
        ("vpt_deep", "vpt", ["could not be checked"]),
        ("ivlp", "ivlp", []),
        ("ivlp_text_only", "ivlp", []),
        ("promptsrc", "promptsrc", ["could not be checked"]),
    ],
)
def test_converted_prompts_of_the_towers_give_the_originals_logits(
    name: str, method: str, notes: list[str], tmp_path: Path, vit: Backbone, golden: Load, inputs: Golden, texts: Texts
) -> None:
    numbers = golden(name)
    learner, said = converted(tower_state(numbers, vit, method), tmp_path, vit, texts["classnames"])
    assert learner.name == method
    assert len(said) == len(notes)
    assert all(part in note for part, note in zip(notes, said, strict=True))
    with torch.no_grad():
        assert_close(learner(inputs["images_vit"]), numbers["logits_final"], FORWARD)


def test_words_are_guessed_only_where_some_are_left_over(
    tmp_path: Path, vit: Backbone, golden: Load, texts: Texts
) -> None:
    state = {key: v for key, v in tower_state(golden("ivlp"), vit, "ivlp").items() if "token" not in key}
    learner, notes = converted(state, tmp_path, vit, texts["classnames"])
    assert learner.options.model_dump()["ctx_init"] == "a photo of a"
    assert any("taken to be 'a photo of a'" in note for note in notes)


def test_a_converted_tai_dpt_gives_the_originals_logits(
    tmp_path: Path, tiny_rn_backbone: Backbone, golden: Load, inputs: Golden, texts: Texts
) -> None:
    numbers = golden("tai_dpt")
    learner, notes = converted(
        tai_dpt_state(numbers, tiny_rn_backbone), tmp_path, tiny_rn_backbone, texts["classnames"]
    )
    assert isinstance(learner, DenseLearner)
    with torch.no_grad():
        logits = learner.image_logits(inputs["images_rn"])
    assert_close(logits.global_, numbers["image/logits_global_final"], FORWARD)
    assert_close(logits.local, numbers["image/logits_local_final"], FORWARD)
    assert [note for note in notes if "spatial_scale_image is 50" in note]


def test_the_scale_of_a_shipped_configuration_can_be_given(
    tmp_path: Path, tiny_rn_backbone: Backbone, golden: Load, inputs: Golden, texts: Texts
) -> None:
    numbers = golden("tai_dpt")
    state = {**tai_dpt_state(numbers, tiny_rn_backbone), **original_state(numbers, tiny_rn_backbone, "init")}
    options = {"spatial_scale_image": 40.0}
    learner, notes = converted(state, tmp_path, tiny_rn_backbone, texts["classnames"], options)
    assert isinstance(learner, DenseLearner)
    with torch.no_grad():
        local = learner.image_logits(inputs["images_rn"]).local
    assert_close(local, numbers["image/logits_local_spatial_scale_40"], FORWARD)
    assert not notes


def test_learnt_scales_are_kept_as_numbers(tiny_rn_backbone: Backbone, golden: Load) -> None:
    state = tai_dpt_state(golden("tai_dpt"), tiny_rn_backbone)
    assert "logit_scale" not in read_prompt(state).options
    options = read_prompt({**state, "temperature": torch.tensor(2.0), "spatial_T": torch.tensor(1.0)}).options
    assert options["logit_scale"] == pytest.approx(7.389056)
    assert options["spatial_scale_image"] == options["spatial_scale_text"] == pytest.approx(2.7182818)


def test_float16_becomes_float32(tmp_path: Path, vit: Backbone, golden: Load, texts: Texts) -> None:
    state = {key: value.half() for key, value in original_state(golden("coop_end"), vit).items()}
    learner, notes = converted(state, tmp_path, vit, texts["classnames"])
    assert {p.dtype for p in learner.parameters()} == {torch.float32}
    assert_close(learner.state_dict()["ctx"], golden("coop_end")["final/ctx"], 1e-3)
    assert len(notes) == 1  # float16 words are still known for what they are


@pytest.mark.parametrize("prefix", ["", "module.", "prompt_learner.", "module.prompt_learner."])
def test_a_wrappers_prefix_does_not_matter(prefix: str, vit: Backbone, golden: Load) -> None:
    state = {prefix + key: value for key, value in original_state(golden("cocoop"), vit).items()}
    assert read_prompt(state).method == "cocoop"


def test_deep_prompts_are_stacked_in_the_order_of_their_layers() -> None:
    state = {"ctx": torch.zeros(2, 4), "proj.weight": torch.zeros(6, 4), "proj.bias": torch.zeros(6)}
    for layer in reversed(range(11)):  # ten comes before two in the alphabet
        state[f"compound_prompts_text.{layer}"] = torch.full((2, 4), float(layer))
        state[f"compound_prompt_projections.{layer}.weight"] = torch.zeros(6, 4)
        state[f"compound_prompt_projections.{layer}.bias"] = torch.full((6,), float(layer))
    prompt = read_prompt(state)
    assert prompt.options == {"depth": 12, "n_ctx": 2}
    assert prompt.parameters["deep_ctx"][:, 0, 0].tolist() == list(range(11))
    assert prompt.parameters["deep_proj.bias"][:, 0].tolist() == list(range(11))


def test_left_over_words_are_found_in_the_file(tmp_path: Path, vit: Backbone, golden: Load, texts: Texts) -> None:
    numbers = dict(golden("maple"))
    names = texts["classnames"]
    numbers["tokenized_prompts"] = vit.tokenize([f"many big red shiny {name.replace('_', ' ')}." for name in names])
    learner, _ = converted(maple_state(numbers, vit), tmp_path, vit, names)
    assert learner.options.model_dump()["ctx_init"] == "x x red shiny"


def test_a_prompt_without_left_over_words_has_none(tmp_path: Path, vit: Backbone, golden: Load, texts: Texts) -> None:
    numbers = dict(golden("maple"))
    names = texts["classnames"]
    numbers["tokenized_prompts"] = vit.tokenize([f"X X {name.replace('_', ' ')}." for name in names])
    learner, _ = converted(maple_state(numbers, vit), tmp_path, vit, names)
    assert learner.options.model_dump()["ctx_init"] is None


def test_other_names_for_a_unified_context_are_said(tmp_path: Path, vit: Backbone, golden: Load, texts: Texts) -> None:
    state = original_state(golden("coop_end"), vit)
    names = ["cat", "zebra", *texts["classnames"][2:]]
    learner, notes = converted(state, tmp_path, vit, names)
    assert learner.classnames == tuple(names)
    assert any("class 2 is 'traffic light' there, not 'zebra'" in note for note in notes)
    _, notes = converted(state, tmp_path, vit, ["okapi"])
    assert any("trained on 7 classes, not 1" in note for note in notes)


def test_a_file_without_words_is_said_to_be_unchecked(
    tmp_path: Path, vit: Backbone, golden: Load, texts: Texts
) -> None:
    _, notes = converted({"ctx": golden("coop_end")["final/ctx"]}, tmp_path, vit, texts["classnames"])
    assert any("could not be checked" in note for note in notes)


def test_of_a_folder_the_last_epoch_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "output" / "prompt_learner"
    for name in ("model-best.pth.tar", "model.pth.tar-9", "model.pth.tar-10", "checkpoint", "model.pth.tar-11.part"):
        write_original(folder / name, {"ctx": torch.zeros(2, 2)})
    assert find_checkpoint(tmp_path / "output").name == find_checkpoint(folder).name == "model.pth.tar-10"
    for name in ("model.pth.tar-9", "model.pth.tar-10"):
        (folder / name).unlink()
    assert find_checkpoint(folder).name == "model-best.pth.tar"


def test_the_schedules_objects_are_not_made(tmp_path: Path) -> None:
    file = write_original(tmp_path / "model.pth.tar-5", {"ctx": torch.zeros(2, 2)})
    assert "torch.optim.sgd.SGD" in torch.serialization.get_unsafe_globals_in_checkpoint(file)
    successor = _load(file)["scheduler"]["successor"]
    assert isinstance(successor, _StandIn)
    assert not vars(successor)
    allowed = [str(one) for one in torch.serialization.get_safe_globals()]
    assert not [one for one in allowed if "optim" in one]  # nothing of ours stays allowed for the next reader


def test_files_of_before_pytorch_1_6_are_read_where_they_hold_tensors_alone(tmp_path: Path) -> None:
    file = tmp_path / "model.pth.tar-2"
    whole = {"state_dict": {"ctx": torch.ones(2, 2)}, "epoch": 2}
    torch.save(whole, file, _use_new_zipfile_serialization=False)
    original = open_original(file)
    assert (original.checkpoint.epoch, original.prompt.method) == (2, "coop")


@pytest.mark.parametrize("shift_by", [0.01, 1.0])
def test_a_checkpoint_on_other_weights_of_the_same_width_is_refused(
    shift_by: float, tmp_path: Path, vit: Backbone, golden: Load, texts: Texts
) -> None:
    state = original_state(golden("coop_end"), vit)
    shift = torch.randn(state["token_suffix"].shape, generator=torch.Generator().manual_seed(0))
    state["token_suffix"] = state["token_suffix"] + shift_by * shift
    with pytest.raises(UserError, match="learnt on other weights than tiny_vit"):
        converted(state, tmp_path, vit, texts["classnames"])

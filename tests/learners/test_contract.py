"""What every learner must do, run over every file of ``learners/``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.model import convert_weights_to_lp
from torch.nn import functional as F

import clipprompt
from clipprompt.backbone import Backbone
from clipprompt.backbone._packing import pack
from clipprompt.errors import UserError
from clipprompt.learners import (
    DenseLearner,
    HeadLearner,
    ImageFeatures,
    ImageStates,
    Learner,
    create_learner,
    learner_class,
    learner_options,
    list_learners,
    load_learner,
    with_classes,
)
from tests.conftest import Golden, assert_close

NAMES = ["cat", "traffic light", "hot_dog", "Boeing 737-200", "crème brûlée", "犬"]
ROOT = Path(clipprompt.__file__).parents[1]
# A learner's option that changes which parameters it has is held to the contract like a learner.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {"dualcoop without negative": ("dualcoop", {"negative": False})}
EVERY = [*list_learners(), *VARIANTS]
OF_TEXTS = [name for name in EVERY if learner_class(VARIANTS.get(name, (name,))[0]).has_text_features]
learners = pytest.mark.parametrize("name", EVERY)
of_texts = pytest.mark.parametrize("name", OF_TEXTS)
heads = pytest.mark.parametrize("name", [name for name in EVERY if name not in OF_TEXTS])
# Of these heads, linear and partial say all that a kind of tower could change; test_heads_on_timm.py has other kinds.
ON_ONE_TOWER = {"mlp", "full", "sidetune"}
Create = Callable[..., Learner]


@pytest.fixture
def create(tiny_backbone: Backbone) -> Create:
    def make(
        name: str, classnames: list[str] | None = None, backbone: Backbone | None = None, **options: Any
    ) -> Learner:
        # The tiny towers have three layers, fewer than the depths that the papers chose.
        depths: dict[str, Any] = {key: 2 for key in _fields(name) if key.startswith("depth")}
        depths |= {"dropout": 0.0} if "dropout" in _fields(name) else {}  # which no two steps have in common
        method, own = VARIANTS.get(name, (name, {}))
        if name in ON_ONE_TOWER and not tiny_backbone.vision.n_layers:
            pytest.skip(f"{name} is asked on the transformer")
        try:
            names = NAMES if classnames is None else classnames
            return create_learner(method, backbone or tiny_backbone, names, **{**depths, **own, **options})
        except UserError as error:
            if "needs a transformer image tower" in str(error):
                pytest.skip(str(error))
            raise

    return make


def _fields(name: str) -> list[str]:
    return list(learner_options(VARIANTS.get(name, (name,))[0]).model_fields)


def _images(learner: Learner, inputs: Golden) -> torch.Tensor:
    return inputs["images_vit" if learner.backbone.image_size == 64 else "images_rn"]


def _gradients(learner: Learner, inputs: Golden) -> dict[str, torch.Tensor]:
    """Gradients of the loss on two samples, of what the learner trains on."""
    if not list(learner.parameters()):
        pytest.skip(f"{learner.name} has no parameters")
    batch = inputs["caption_tokens"] if learner.trains_on == "captions" else _images(learner, inputs)
    labels = F.one_hot(torch.tensor([0, 1]), len(learner.classnames)).float()
    parameters = dict(learner.named_parameters())
    found = torch.autograd.grad(learner.loss(batch[:2], labels), list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def _rounded(whole: Backbone) -> Backbone:
    model = copy.deepcopy(whole.model)
    convert_weights_to_lp(model, torch.bfloat16)
    rounded = Backbone.from_open_clip(model, whole.tokenizer, name=whole.name)
    assert rounded.precision == "bf16"
    return rounded


def _take_a_step(learner: Learner, inputs: Golden) -> None:
    for key, gradient in _gradients(learner, inputs).items() if list(learner.parameters()) else ():
        with torch.no_grad():
            learner.get_parameter(key).sub_(0.01 * gradient)


def test_every_learner_has_a_configuration_and_a_test() -> None:
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    configs = {path.stem for path in (ROOT / "configs" / "methods").glob("*.yaml")}
    assert set(list_learners()) == configs
    assert configs <= tests


@learners
def test_parameters_are_the_whole_state_and_float32(create: Create, name: str) -> None:
    learner = create(name)
    kept = set(learner.state_dict()) - set(dict(learner.named_parameters()))
    assert not kept or learner.reads_training_set
    assert all(p.dtype == torch.float32 and p.requires_grad for p in learner.parameters())


@learners
def test_prompts_stay_float32_when_asked_to_be_half(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    before = learner(_images(learner, inputs))
    learner.half()
    assert all(p.dtype == torch.float32 for p in learner.parameters())
    assert torch.equal(learner(_images(learner, inputs)), before)


@learners
def test_prompts_and_results_are_float32_on_a_rounded_tower(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    rounded = create(name, backbone=_rounded(learner.backbone))
    rounded.load_state_dict(learner.state_dict())
    logits = rounded(_images(learner, inputs))
    assert logits.dtype == torch.float32
    if rounded.has_text_features:
        assert rounded.text_features().dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in rounded.parameters())
    assert_close(logits, learner(_images(learner, inputs)).detach(), 0.05)
    assert all(
        gradient.dtype == torch.float32 and gradient.isfinite().all()
        for gradient in _gradients(rounded, inputs).values()
    )


@of_texts
def test_places_are_computed_for_those_who_read_them_alone(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    features = learner.encode_images(_images(learner, inputs))
    assert isinstance(features, ImageFeatures)
    assert (features.local.shape[1] > 0) == learner.reads_places == isinstance(learner, DenseLearner)


@learners
def test_a_batch_equals_its_images_one_by_one(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    images = _images(learner, inputs)
    with torch.no_grad():
        assert_close(learner(images), torch.cat([learner(image[None]) for image in images]), 1e-5)


@of_texts
def test_texts_computed_in_pieces_change_nothing(
    create: Create, name: str, inputs: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = create(name)
    logits, gradients = learner(_images(learner, inputs)), _gradients(learner, inputs)
    monkeypatch.setattr("clipprompt.backbone._text.POSITIONS_AT_ONCE", 16)
    learner.set_classes(NAMES)
    assert_close(learner(_images(learner, inputs)), logits.detach(), 1e-5)
    for key, gradient in _gradients(learner, inputs).items():
        assert_close(gradient, gradients[key], 1e-4)


@learners
def test_class_numbers_are_labels_too(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    if not list(learner.parameters()):
        pytest.skip(f"{name} has no parameters")
    batch = inputs["caption_tokens"] if learner.trains_on == "captions" else _images(learner, inputs)
    numbers = torch.arange(len(batch)) % len(NAMES)
    rows = F.one_hot(numbers, len(NAMES))
    assert_close(learner.loss(batch, numbers), learner.loss(batch, rows).detach(), 1e-6)


@learners
def test_gradients_reach_the_prompts_and_nothing_else(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    if not list(learner.parameters()):
        pytest.skip(f"{name} has no parameters")
    if not all(parameter.any() for parameter in learner.parameters()):
        _take_a_step(learner, inputs)  # before it, what a layer of zeros hides has no gradient
    labels = torch.zeros(6, len(NAMES))
    labels[:, :2] = 1
    trains_on = inputs["caption_tokens"] if learner.trains_on == "captions" else _images(learner, inputs)
    learner.loss(trains_on, labels[: len(trains_on)]).backward()
    for parameter in learner.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
    assert all(p.grad is None for p in learner.backbone.model.parameters())


@learners
def test_the_learner_is_its_two_parts_in_a_row(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    images = _images(learner, inputs)
    with torch.no_grad():
        features = learner.encode_images(images)
        assert torch.equal(learner(images), learner.logits_from(features))
        if learner.image_side_is_frozen:
            assert isinstance(features, ImageFeatures)
            shared = learner.features_from(learner.backbone.vision.trunk(images))
            assert torch.equal(shared.global_, features.global_)
            assert torch.equal(shared.local, features.local)
    is_frozen = learner.image_side_is_frozen or learner.frozen_part is not None
    assert learner.encode_images(images)[0].requires_grad != is_frozen


@heads
def test_a_frozen_part_can_be_kept_and_gone_on_from(create: Create, name: str, inputs: Golden) -> None:
    learner, again = create(name), create(name)
    states = learner.encode_images(_images(learner, inputs)[:2])
    assert isinstance(states, ImageStates)
    if learner.frozen_part is None:
        pytest.skip(f"all of {name} is learnt, from the pixels on")
    kept = ImageStates(states.values.half(), states.grid)
    labels = torch.tensor([0, 1])
    again.loss(_images(learner, inputs)[:2], labels).backward()
    learner.loss_from(kept, labels).backward()
    kept_on, whole = (
        torch.cat([p.grad.flatten() for p in one.parameters() if p.grad is not None]) for one in (learner, again)
    )
    assert_close(kept_on, whole, 0.02)


@learners
def test_the_backbone_is_bit_for_bit_the_same_after_a_step(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    before = {key: value.clone() for key, value in learner.backbone.model.state_dict().items()}
    _take_a_step(learner, inputs)
    learner(_images(learner, inputs))
    after = learner.backbone.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@learners
def test_a_local_branch_comes_with_its_map(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    if not isinstance(learner, DenseLearner):
        pytest.skip(f"{name} has no local branch")
    images = _images(learner, inputs)
    features = learner.encode_images(images)
    cosines, logits = learner.local_logits_map(features), learner.image_logits(images)
    rows, columns = learner.backbone.vision.trunk(images).grid
    assert cosines.shape == (len(images), rows * columns, len(NAMES))
    assert features.local.shape[1] == rows * columns + learner.places_as_pooled
    assert cosines.abs().max() <= 1 + 1e-5
    assert all(branch.shape == (len(images), len(NAMES)) for branch in logits)
    assert torch.equal(logits.merged, (logits.global_ + logits.local) / 2)


@learners
def test_saved_and_loaded_it_gives_the_same_logits(create: Create, name: str, inputs: Golden, tmp_path: Path) -> None:
    learner = create(name, seed=3)
    _take_a_step(learner, inputs)
    learner.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prompt.json", "prompt.safetensors"]
    again = load_learner(tmp_path, learner.backbone)
    assert again.classnames == tuple(NAMES)
    assert again.options == learner.options
    assert torch.equal(again(_images(learner, inputs)), learner(_images(learner, inputs)))


@heads
def test_a_head_answers_for_its_own_classes_in_any_order(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    _take_a_step(learner, inputs)
    images = _images(learner, inputs)
    with torch.no_grad():
        whole = learner(images)
        some = with_classes(learner, ["犬", "hot dog", "cat"])
        assert torch.equal(some(images), whole[:, [5, 2, 0]])
        assert torch.equal(with_classes(some, NAMES)(images), whole)
        learner.set_classes(["Traffic_Light"])
        assert learner.classnames == ("Traffic_Light",)
        assert torch.equal(learner(images), whole[:, [1]])
        learner.set_classes(NAMES)
        assert torch.equal(learner(images), whole)


@heads
def test_a_head_is_saved_with_the_rows_of_its_present_classes(
    create: Create, name: str, inputs: Golden, tmp_path: Path
) -> None:
    learner = create(name)
    some = with_classes(learner, ["犬", "cat"])
    some.save(tmp_path)
    again = load_learner(tmp_path, learner.backbone)
    assert isinstance(again, HeadLearner)
    assert again.trained_classes == ("犬", "cat")
    assert_close(again(_images(learner, inputs)), some(_images(learner, inputs)).detach(), 1e-6)


@heads
@pytest.mark.parametrize("names", [["cat", "zebra"], ["犬s"]])
def test_a_head_refuses_classes_that_it_was_not_trained_for(create: Create, name: str, names: list[str]) -> None:
    learner = create(name)
    with pytest.raises(UserError, match=r"'(zebra|犬s)' is none of the 6 classes .* take new class names") as error:
        learner.set_classes(names)
    assert "\n" not in str(error.value)
    assert learner.classnames == tuple(NAMES)


@heads
def test_a_head_has_no_text_features(create: Create, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} has a head for the classes that it was trained for"):
        create(name).class_features()


@of_texts
def test_new_class_names_after_training_equal_a_fresh_start_with_them(
    create: Create, name: str, inputs: Golden
) -> None:
    learner, fresh = create(name), create(name, ["zebra", "okapi"])
    _take_a_step(learner, inputs)
    fresh.load_state_dict(dict(learner.named_parameters()), strict=not learner.reads_training_set)
    with torch.no_grad():
        learner(_images(learner, inputs))  # fills whatever is remembered
        learner.set_classes(["zebra", "okapi"])
        assert learner.classnames == ("zebra", "okapi")
        assert torch.equal(learner(_images(learner, inputs)), fresh(_images(learner, inputs)))


@learners
def test_remembered_text_features_follow_the_parameters(create: Create, name: str, inputs: Golden) -> None:
    learner = create(name)
    if not list(learner.parameters()):
        pytest.skip(f"{name} has no parameters")
    with torch.no_grad():
        before = learner(_images(learner, inputs))
        for parameter in learner.parameters():
            parameter.add_(0.1)
        after = learner(_images(learner, inputs))
    assert not torch.equal(before, after)
    assert_close(after, learner(_images(learner, inputs)), 1e-5)


@learners
def test_what_inference_mode_has_seen_can_be_trained(create: Create, name: str, inputs: Golden) -> None:
    learner, again = create(name), create(name)
    expected = _gradients(again, inputs)
    pack.cache_clear()
    with torch.inference_mode():
        learner.set_classes(NAMES)
        logits = learner(_images(learner, inputs))
        if learner.trains_on == "images":
            learner.loss(_images(learner, inputs)[:2], torch.tensor([0, 1]))
        assert torch.equal(create(name)(_images(learner, inputs)), logits)
    for key, gradient in _gradients(learner, inputs).items():
        assert torch.equal(gradient, expected[key])


@learners
@pytest.mark.parametrize("classnames", [["cat"], [f"class {i}" for i in range(1000)], ["word " * 60]])
def test_one_class_a_thousand_and_long_names(create: Create, name: str, classnames: list[str], inputs: Golden) -> None:
    options = {"n_ctx": 4} if "n_ctx" in _fields(name) else {}
    learner = create(name, classnames, **options)
    logits = learner(_images(learner, inputs))
    assert logits.shape == (len(_images(learner, inputs)), len(classnames))
    assert torch.isfinite(logits).all()


@of_texts
def test_underscores_and_wide_spaces_are_single_spaces(create: Create, name: str) -> None:
    ours = create(name, ["hot_dog", " traffic \t light", "Boeing_737-200."]).class_features()
    assert torch.equal(ours, create(name, ["hot dog", "traffic light", "Boeing 737-200"]).class_features())


@of_texts
def test_class_features_are_unit_vectors(create: Create, name: str) -> None:
    features = create(name).class_features()
    assert features.shape == (len(NAMES), 64)
    assert_close(features.norm(dim=-1), torch.ones(len(NAMES)), 1e-5)


@learners
def test_a_seed_means_the_same_prompts_and_leaves_the_global_state_alone(create: Create, name: str) -> None:
    state = torch.random.get_rng_state()
    at_random = {
        key: None for key in _fields(name) if key.startswith("ctx_init")
    }  # words start the same for every seed
    first, second, other = (create(name, seed=seed, **at_random) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key])
    if list(first.parameters()):
        assert any(not torch.equal(v, other.state_dict()[k]) for k, v in first.state_dict().items())


BAD_NAMES = [
    ([], "there are no class names"),
    (["cat", "cat"], "'cat' is given twice"),
    (["hot dog", "hot_dog"], "'hot_dog' is given twice"),
    (["cat", " "], "class name 2 is empty"),
    ("cat", "not one string"),
    (["cat", "Cat"], "'Cat' is given twice"),
    (["cat", 2], "2 is a int"),
    (["cat", "caf\udce9"], "is not readable text"),
]
BAD_TEXTS = [
    (["cat", "word " * 90], "too long.*word word|word word.*too long"),
    (["caf\u00e9", "cafe\u0301"], "is the same as 'caf\u00e9' to the text tower"),
    (["cat", "\x00"], "is nothing to the text tower"),
]


@learners
@pytest.mark.parametrize(("classnames", "message"), BAD_NAMES)
def test_bad_class_names_get_one_line(create: Create, name: str, classnames: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        create(name, classnames)
    assert "\n" not in str(error.value)


@of_texts
@pytest.mark.parametrize(("classnames", "message"), BAD_TEXTS)
def test_names_that_the_text_tower_cannot_say_get_one_line(
    create: Create, name: str, classnames: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        create(name, classnames)
    assert "\n" not in str(error.value)


@learners
def test_unknown_options_suggest_the_nearest(create: Create, name: str) -> None:
    field = _fields(name)[0]
    with pytest.raises(UserError, match=f"did you mean '{field}'"):
        create(name, **{f"{field}x": 1})


@learners
def test_options_of_the_wrong_kind_name_the_option(create: Create, name: str) -> None:
    field = _fields(name)[0]
    with pytest.raises(UserError, match=f"option {field}"):
        create(name, **{field: {"a": 1}})


def test_an_unknown_learner_suggests_the_nearest(tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="did you mean 'tai_dpt'"):
        create_learner("tai_dtp", tiny_vit_backbone, ["cat"])


def test_a_prompt_comes_back_on_its_backbones_size_and_precision(tmp_path: Path) -> None:
    from clipprompt.backbone import load_backbone

    backbone = load_backbone("mini", device="cpu", precision="bf16", image_size=160)
    create_learner("tai_dpt", backbone, ["cat", "dog"]).save(tmp_path)
    again = load_learner(tmp_path).backbone
    assert (again.name, again.precision, again.image_size) == ("mini", "bf16", 160)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.errors import UserError
from clipprompt.learners import create_learner, load_learner, with_classes
from clipprompt.learners.coop import CoOp
from tests.conftest import Golden, assert_close
from tests.learners import _golden

VARIANTS: dict[str, dict[str, Any]] = {
    "coop_end": {},
    "coop_middle": {"class_token_position": "middle"},
    "coop_front": {"class_token_position": "front"},
    "coop_csc_end": {"class_specific": True},
    "coop_ctxinit": {"ctx_init": "a photo of a"},
}
POSITIONS = ["end", "middle", "front"]
Texts = dict[str, list[str]]


@pytest.fixture(params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, tiny_vit_backbone: Backbone, texts: Texts, golden: Callable[[str], Golden]
) -> tuple[Any, Golden]:
    expected, options = golden(request.param), VARIANTS[request.param]
    return _golden.create_with("coop", tiny_vit_backbone, texts["classnames"], expected, n_ctx=4, **options), expected


def test_forward_matches_golden(variant: tuple[CoOp, Golden], inputs: Golden) -> None:
    _golden.check_forward(variant[0], inputs["images_vit"], variant[1])
    assert_close(variant[0].class_features(), variant[1]["text_features"], _golden.FORWARD)


def test_gradients_match_golden(variant: tuple[CoOp, Golden], inputs: Golden) -> None:
    _golden.check_gradients(variant[0], inputs["images_vit"], variant[1])


def test_five_steps_match_golden(variant: tuple[CoOp, Golden], inputs: Golden) -> None:
    _golden.check_five_steps(variant[0], inputs["images_vit"], variant[1])


def test_words_start_the_context_as_in_golden(
    tiny_vit_backbone: Backbone, texts: Texts, golden: Callable[[str], Golden]
) -> None:
    for words in ("a photo of a", "a_photo_of_a"):
        learner = create_learner("coop", tiny_vit_backbone, texts["classnames"], ctx_init=words)
        assert torch.equal(learner.state_dict()["ctx"], golden("coop_ctxinit")["init/ctx"])


def plain_features(learner: CoOp, names: list[str]) -> torch.Tensor:
    """Every prompt put together by hand, one after another, and run whole."""
    text, options, rows = learner.backbone.text, learner.options, []
    for i, name in enumerate(names):
        tokens = learner.backbone.tokenize([f"{name}."])
        end = int(text.end_positions(tokens))
        start, word, stop = text.embed_tokens(tokens)[0, : end + 1].split([1, end - 2, 2])
        ctx = learner.ctx[i] if options.class_specific else learner.ctx
        half = {"end": len(ctx), "middle": len(ctx) // 2, "front": 0}[options.class_token_position]
        prompt = torch.cat([start, ctx[:half], word, ctx[half:], stop])
        rows.append(text.encode(prompt[None], torch.tensor([len(prompt) - 1])))
    return F.normalize(torch.cat(rows), dim=-1)


@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("n_ctx", [1, 4, 5])
def test_any_position_equals_prompts_put_together_by_hand(
    tiny_vit_backbone: Backbone, position: str, n_ctx: int, class_specific: bool
) -> None:
    names = ["cat", "Boeing 737-200", "hot dog!", "a rather long name of a thing"]
    learner = create_learner(
        "coop", tiny_vit_backbone, names, n_ctx=n_ctx, class_specific=class_specific, class_token_position=position
    )
    assert isinstance(learner, CoOp)
    torch.nn.init.normal_(learner.ctx, std=0.3, generator=torch.Generator().manual_seed(n_ctx))
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(7))
    gradients = []
    for features in (learner.class_features(), plain_features(learner, names)):
        gradients.append(torch.autograd.grad((features * weight).sum(), learner.ctx)[0])
    assert_close(learner.class_features(), plain_features(learner, names), 1e-5)
    assert_close(gradients[0], gradients[1], 1e-5)


@pytest.mark.parametrize("position", POSITIONS)
def test_words_as_context_say_what_the_words_say(tiny_vit_backbone: Backbone, texts: Texts, position: str) -> None:
    template = {"end": "a photo of a {}.", "middle": "a photo {} of a.", "front": "{} a photo of a."}[position]
    options = {"ctx_init": "a photo of a", "class_token_position": position}
    learner = create_learner("coop", tiny_vit_backbone, texts["classnames"], **options)
    plain = create_learner("zero_shot", tiny_vit_backbone, texts["classnames"], templates=(template,))
    assert_close(learner.class_features(), plain.class_features(), 1e-5)


def test_words_start_class_specific_contexts_too(tiny_vit_backbone: Backbone) -> None:
    learner = create_learner("coop", tiny_vit_backbone, ["cat", "dog"], ctx_init="a photo of a", class_specific=True)
    ctx = learner.state_dict()["ctx"]
    assert ctx.shape == (2, 4, 128)
    assert torch.equal(ctx[0], ctx[1])


@pytest.mark.parametrize("names", [["dog", "cat", "bus"], ["lorry", "Cat", "dog"]])
def test_class_specific_contexts_stay_with_their_classes(tiny_vit_backbone: Backbone, names: list[str]) -> None:
    learner = create_learner("coop", tiny_vit_backbone, ["cat", "dog", "bus"], n_ctx=2, class_specific=True)
    with pytest.raises(UserError, match=r"'(dog|Cat)' is class [12] of the prompt"):
        learner.set_classes(names)
    learner.set_classes(["Cat", "puppy", "bus"])
    assert learner.classnames == ("Cat", "puppy", "bus")


@pytest.mark.parametrize("names", [["bus", "Cat", "traffic_light"], ["traffic light"], ["dog", "cat"]])
def test_class_specific_contexts_go_with_some_of_their_classes(
    tiny_vit_backbone: Backbone, tmp_path: Path, names: list[str]
) -> None:
    own = ["cat", "dog", "bus", "traffic light"]
    learner = create_learner("coop", tiny_vit_backbone, own, n_ctx=2, class_specific=True)
    learner.save(tmp_path)
    rows = [own.index(name.lower().replace("_", " ")) for name in names]
    for some in (with_classes(learner, names), load_learner(tmp_path, tiny_vit_backbone, names)):
        assert some.classnames == tuple(names)
        torch.testing.assert_close(some.class_features(), learner.class_features()[rows])
        some.save(tmp_path / "some")
        again = load_learner(tmp_path / "some", tiny_vit_backbone)
        torch.testing.assert_close(again.class_features(), some.class_features())
    assert learner.classnames == tuple(own)


@pytest.mark.parametrize("own", [["Acme Inc.", "red_bus"], ["strasse", "straße"], ["hot  dog", "Café"]])
def test_spellings_of_a_name_are_one_class_and_other_names_are_others(
    tiny_vit_backbone: Backbone, own: list[str]
) -> None:
    learner = create_learner("coop", tiny_vit_backbone, own, n_ctx=2, class_specific=True)
    learner.set_classes(own)
    with pytest.raises(UserError, match=r"is class [12] of the prompt"):
        learner.set_classes(own[::-1])
    assert torch.equal(with_classes(learner, own[::-1]).state_dict()["ctx"], learner.state_dict()["ctx"].flip(0))


def test_class_specific_contexts_serve_no_new_class_beside_some_of_theirs(tiny_vit_backbone: Backbone) -> None:
    learner = create_learner("coop", tiny_vit_backbone, ["cat", "dog", "bus"], n_ctx=2, class_specific=True)
    with pytest.raises(UserError, match="made for 3 classes and cannot serve 2"):
        with_classes(learner, ["cat", "zebra"])
    with pytest.raises(UserError, match="'dog' is class 2 of the prompt, not 1"):
        with_classes(learner, ["dog", "cat", "zebra"])


def test_class_specific_contexts_refuse_another_number_of_classes(tiny_vit_backbone: Backbone, texts: Texts) -> None:
    learner = create_learner("coop", tiny_vit_backbone, texts["classnames"], class_specific=True)
    with pytest.raises(UserError, match="made for 7 classes and cannot serve 2"):
        learner.set_classes(["zebra", "okapi"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_ctx": 0}, "option n_ctx = 0"),
        ({"n_ctx": 75}, "n_ctx 75 is too large"),
        ({"ctx_init": " "}, "has no words"),
        ({"ctx_init": "word " * 80}, "too long"),
        ({"class_token_position": "back"}, "'end', 'middle' or 'front'"),
        ({"class_specific": 1}, "option class_specific = 1"),
    ],
)
def test_wrong_options_get_one_line(tiny_vit_backbone: Backbone, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        create_learner("coop", tiny_vit_backbone, ["cat"], **options)
    assert "\n" not in str(error.value)


def test_one_hot_labels_are_class_numbers_and_unknown_classes_are_left_out(
    tiny_vit_backbone: Backbone, inputs: Golden, texts: Texts
) -> None:
    learner = create_learner("coop", tiny_vit_backbone, texts["classnames"], n_ctx=4)
    images, numbers = inputs["images_vit"], inputs["labels_vit"].long()
    rows = F.one_hot(numbers, 7)
    assert_close(learner.loss(images, rows), F.cross_entropy(learner(images), numbers), 1e-6)
    present = rows.bool().any(dim=0)
    unknown = torch.where(present, rows, -1)
    position = (present.cumsum(0) - 1)[numbers]
    assert_close(learner.loss(images, unknown), F.cross_entropy(learner(images)[:, present], position), 1e-6)

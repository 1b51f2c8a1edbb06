from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from clipprompt.backbone._templates import named_templates
from clipprompt.errors import UserError
from clipprompt.learners import create_learner, load_learner
from tests.conftest import Golden, assert_close

FORWARD = 1e-4
Texts = dict[str, list[str]]


@pytest.mark.parametrize("kind", ["vit", "rn"])
def test_logits_match_golden(
    request: pytest.FixtureRequest, inputs: Golden, texts: Texts, golden: Callable[[str], Golden], kind: str
) -> None:
    backbone: Backbone = request.getfixturevalue(f"tiny_{kind}_backbone")
    expected = golden(f"zeroshot_{kind}")
    learner = create_learner("zero_shot", backbone, texts["classnames"])
    images = inputs[f"images_{kind}"]
    assert_close(learner(images), expected["logits"], FORWARD)
    assert_close(learner.class_features(), expected["text_features"], FORWARD)
    assert_close(learner.encode_images(images).global_, expected["image_features"], FORWARD)


@pytest.mark.parametrize("kind", ["vit", "rn"])
def test_ensembles_match_golden(
    request: pytest.FixtureRequest, inputs: Golden, texts: Texts, golden: Callable[[str], Golden], kind: str
) -> None:
    backbone: Backbone = request.getfixturevalue(f"tiny_{kind}_backbone")
    expected = golden(f"zeroshot_ensemble_{kind}")
    images, templates = inputs[f"images_{kind}"], tuple(texts["templates"])
    learner = create_learner("zero_shot", backbone, texts["classnames"], templates=templates)
    assert_close(learner(images), expected["logits"], FORWARD)
    assert_close(learner.class_features(), expected["text_features"], FORWARD)
    pets = create_learner(
        "zero_shot", backbone, texts["classnames"], templates=(*templates, "a photo of a {}, a type of pet.")
    )
    assert_close(pets(images), expected["logits_with_oxfordpets_template"], FORWARD)


def test_dense_logits_match_golden(
    tiny_rn_backbone: Backbone, inputs: Golden, texts: Texts, golden: Callable[[str], Golden]
) -> None:
    expected = golden("zeroshot_dense_rn")
    learner = create_learner("zero_shot", tiny_rn_backbone, texts["classnames"])
    logits = learner.image_logits(inputs["images_rn"])
    assert_close(logits.global_, expected["image/logits_global"], FORWARD)
    assert_close(logits.local, expected["image/logits_local"], FORWARD)
    assert_close(logits.merged, (expected["image/logits_global"] + expected["image/logits_local"]) / 2, FORWARD)
    assert_close(learner.image_logits(inputs["images_rn160"]).local, expected["image160/logits_local"], FORWARD)


def test_dense_logits_at_another_size_match_golden_with_the_originals_resizing(
    tiny_rn_backbone: Backbone,
    inputs: Golden,
    texts: Texts,
    golden: Callable[[str], Golden],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """We resize positions by size; with the original's scale factor in its place, its numbers come out."""

    def by_factor(positions: torch.Tensor, native: tuple[int, int], grid: tuple[int, int]) -> torch.Tensor:
        places = positions[1:].reshape(*native, -1).permute(2, 0, 1)[None]
        factor = (grid[0] + 0.1) / native[0]
        resized = F.interpolate(places, scale_factor=(factor, factor), mode="bicubic", recompute_scale_factor=False)
        return torch.cat([positions[:1], resized[0].flatten(1).T])

    expected = golden("zeroshot_dense_rn")
    learner = create_learner("zero_shot", tiny_rn_backbone, texts["classnames"])
    ours = learner.image_logits(inputs["images_rn160"]).global_
    monkeypatch.setattr("clipprompt.backbone._resnet.resize_positions", by_factor)
    theirs = learner.image_logits(inputs["images_rn160"]).global_
    assert_close(theirs, expected["image160/logits_global"], FORWARD)
    assert (ours - theirs).abs().max() > 1e-2


def test_remembered_text_features_move_along(tiny_vit_backbone: Backbone) -> None:
    learner = create_learner("zero_shot", tiny_vit_backbone, ["cat", "dog"])
    with torch.no_grad():
        assert not learner.text_features().is_meta
        assert learner.to("meta").text_features().is_meta


def test_centre_removes_what_all_classes_share(tiny_vit_backbone: Backbone, texts: Texts) -> None:
    plain = create_learner("zero_shot", tiny_vit_backbone, texts["classnames"]).class_features()
    centred = create_learner("zero_shot", tiny_vit_backbone, texts["classnames"], centre=True).class_features()
    assert_close(centred, F.normalize(plain - plain.mean(dim=0), dim=-1), 1e-6)
    assert_close(centred.norm(dim=-1), torch.ones(7), 1e-6)


def test_centre_of_one_class_is_refused(tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="at least two classes"):
        create_learner("zero_shot", tiny_vit_backbone, ["cat"], centre=True)


@pytest.mark.parametrize("templates", [("a photo",), ("{}", "")])
def test_a_template_without_a_place_for_the_name_is_refused(
    tiny_vit_backbone: Backbone, templates: tuple[str, ...]
) -> None:
    with pytest.raises(UserError, match=r"has no \{\} for the class name"):
        create_learner("zero_shot", tiny_vit_backbone, ["cat"], templates=templates)


@pytest.mark.parametrize(
    ("templates", "sentences"),
    [
        ("oxford_pets", ["a photo of a {}, a type of pet."]),
        (["dtd", "my {}."], ["{} texture.", "my {}."]),
        (("clip_imagenet_7", "imagenet"), [*named_templates("clip_imagenet_7"), "a photo of a {}."]),
        ("clip_imagenet_80", named_templates("clip_imagenet_80")),
    ],
)
def test_templates_go_by_name_alone_or_mixed_with_sentences(
    tiny_vit_backbone: Backbone, texts: Texts, tmp_path: Path, templates: Any, sentences: list[str]
) -> None:
    learner = create_learner("zero_shot", tiny_vit_backbone, texts["classnames"], templates=templates)
    each = [
        create_learner("zero_shot", tiny_vit_backbone, texts["classnames"], templates=sentence).class_features()
        for sentence in sentences
    ]
    assert_close(learner.class_features(), F.normalize(torch.stack(each).mean(dim=0), dim=-1), 1e-6)
    learner.save(tmp_path)
    assert torch.equal(load_learner(tmp_path, tiny_vit_backbone).class_features(), learner.class_features())


def test_an_unknown_name_of_templates_suggests_the_nearest(tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="did you mean 'oxford_pets'") as error:
        create_learner("zero_shot", tiny_vit_backbone, ["cat"], templates=("oxfordpets", "my {}."))
    assert "\n" not in str(error.value)


def test_no_templates_are_refused(tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="templates"):
        create_learner("zero_shot", tiny_vit_backbone, ["cat"], templates=())


def test_a_percent_or_brace_in_a_class_name_is_only_a_name(tiny_vit_backbone: Backbone) -> None:
    assert create_learner("zero_shot", tiny_vit_backbone, ["{0} 100 %", "cat"]).class_features().shape == (2, 64)

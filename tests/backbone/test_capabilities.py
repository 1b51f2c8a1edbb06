"""The table of capabilities against small models of every kind, with random weights, and the learners themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.factory import get_model_config
from open_clip.hf_model import HFTextEncoder

from clipprompt.backbone import Backbone, capabilities, load_backbone
from clipprompt.backbone.capabilities import (
    FAMILIES,
    HEAD,
    LANGUAGE,
    MULTI_MODAL,
    VISUAL,
    Capability,
    capability,
    find_architectures,
    list_capabilities,
)
from clipprompt.errors import UserError
from clipprompt.learners import Learner, create_learner, learner_class, learner_options, list_learners
from clipprompt.learners._deep_context import DeepContextLearner
from clipprompt.learners._visual import VisualPromptLearner
from tests.backbone.reduced import FEATURE_MAPS, TIMM_VITS, reduced_visual
from tests.backbone.stand_ins import TOKENIZERS, StandInTokenizer, make_model
from tests.learners._names import OF_TEXTS

# One architecture of every kind: text tower x image tower x where the text tower comes from.
KINDS = [
    "ViT-B-32",
    "ViT-M-16-alt",
    "ViT-H-14-CLIPA",
    "ViT-H-14-worldwide",
    "ViT-L-14-worldwide",
    "RN50",
    "coca_ViT-B-32",
    "coca_roberta-ViT-B-32",
    "xlm-roberta-base-ViT-B-32",
    "mt5-base-ViT-B-32",
    "nllb-clip-base",
    "nllb-clip-base-siglip",
    "ViT-B-16-SigLIP",
    "ViT-B-16-SigLIP2",
    "MobileCLIP-B",
    "MobileCLIP2-L-14",
    "MobileCLIP2-S0",
    "EVA02-B-16",
    "PE-Core-B-16",
    "ViTamin-S",
    "convnext_base",
    "swin_base_patch4_window7_224",
    "vit_medium_patch16_gap_256",
    "vit_relpos_medium_patch16_cls_224",
]
SIZES = {
    "width",
    "heads",
    "layers",
    "context_length",
    "vocab_size",
    "mlp_ratio",
    "image_size",
    "patch_size",
    "head_width",
}
LAYOUTS: dict[str, Callable[[], StandInTokenizer]] = {
    "clip": TOKENIZERS["clip"],
    "timm/ViT-B-16-SigLIP": TOKENIZERS["siglip"],
    "timm/ViT-B-16-SigLIP2": TOKENIZERS["siglip2"],
    "bert-base-uncased": TOKENIZERS["clipa"],
    "facebook/xlm-v-base": lambda: StandInTokenizer(start=(4,), end=(2,), pad=1, marks_spaces=True),
    "google/mt5-base": TOKENIZERS["mt5"],
    "facebook/nllb-200-distilled-600M": TOKENIZERS["nllb"],
    "roberta-base": TOKENIZERS["xlm"],
    "xlm-roberta-base": TOKENIZERS["xlm"],
}


# LoRA refuses by projection and layer, in lines of its own.
TRIED = [*(name for name in OF_TEXTS if name != "clip_lora"), "linear", "vpt_head"]


def _family(method: str) -> str:
    cls = learner_class(method)
    if issubclass(cls, DeepContextLearner):
        return MULTI_MODAL
    if not cls.has_text_features:
        return HEAD
    return VISUAL if issubclass(cls, VisualPromptLearner) else LANGUAGE


def _image_config(config: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in SIZES and not key.startswith("timm")}
    if isinstance(config.get("layers"), list):
        return kept | {"image_size": 64, "layers": (1, 1, 1, 1), "width": 8, "head_width": 32, "patch_size": None}
    return kept | ({"attn_pooler_heads": 2} if "attn_pooler_heads" in kept else {})


def _reduce(name: str, hugging_face: Callable[..., HFTextEncoder]) -> Backbone:
    """The architecture's own configuration with few and narrow layers."""
    config = get_model_config(name)
    text, image = config["text_cfg"], config["vision_cfg"]
    kept = {key: value for key, value in text.items() if key not in SIZES and not key.startswith(("hf_", "tokenizer"))}
    tokenizer = LAYOUTS[text.get("hf_tokenizer_name", "clip")]()
    # Without a projection the joint space is as wide as the reduced image tower.
    embed_dim = 48 if image.get("timm_proj") == "none" else 32
    model = make_model(kept, _image_config(image), embed_dim)
    if "hf_model_name" in text:
        pooler = text.get("hf_pooler_type", "mean_pooler")
        model.text = hugging_face(pooler, tokenizer.pad, embed_dim=embed_dim).eval()
    if "timm_model_name" in image:
        alike = name if name in {**TIMM_VITS, **FEATURE_MAPS} else "ViT-B-16-SigLIP"
        model.visual = _relpos() if "relpos" in name else reduced_visual(alike)
    return Backbone.from_open_clip(model, tokenizer, name=name)


def _relpos() -> Any:
    import timm

    visual = torch.nn.Module()
    visual.trunk = timm.create_model("vit_relpos_medium_patch16_cls_224", depth=1, embed_dim=32, num_heads=2)
    return visual


def _create(method: str, backbone: Backbone) -> Learner:
    small: dict[str, Any] = {"templates": ("a photo of a {}.",)}
    fields = learner_options(method).model_fields
    small |= {key: 2 for key in fields if key.startswith(("n_ctx", "depth"))}
    if method == "vpt_head":
        small |= {"where": "prepend" if backbone.vision.n_layers else "pad", "depth": None}
    return create_learner(method, backbone, ["cat", "red bus"], **{k: v for k, v in small.items() if k in fields})


def _learn(learner: Learner, backbone: Backbone) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, backbone.image_size, backbone.image_size, generator=generator)
    logits = learner(images)
    assert logits.shape == (2, 2)
    assert torch.isfinite(logits).all()
    if not list(learner.parameters()):
        return
    captions = ["a cat sits on a mat", "two red buses"]
    inputs = backbone.tokenize(captions) if learner.trains_on == "captions" else images
    learner.loss(inputs, torch.eye(2)).backward()
    gradients = [parameter.grad for parameter in learner.parameters() if parameter.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.fixture(scope="module", params=KINDS)
def found(request: pytest.FixtureRequest) -> Capability:
    return capability(request.param)


def test_what_works_works_and_what_does_not_is_refused_with_the_same_line(
    found: Capability, hugging_face: Callable[..., HFTextEncoder]
) -> None:
    if LANGUAGE in found.refusals:
        with pytest.raises(UserError) as refused:
            _reduce(found.name, hugging_face)
        assert found.refusals == dict.fromkeys(FAMILIES, str(refused.value))
        return
    _try_all(found, _reduce(found.name, hugging_face))


def _try_all(found: Capability, backbone: Backbone) -> None:
    assert found.prompts == ("tokens" if backbone.vision.n_layers else "pixels")
    for method in TRIED:
        if (line := found.refusals.get(_family(method))) is None:
            _learn(_create(method, backbone), backbone)
        else:
            with pytest.raises(UserError) as refused:
                _create(method, backbone)
            assert str(refused.value).removeprefix("this ").removeprefix(f"{method} ") == line


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_convnext", "timm:test_resnet"])
def test_towers_of_timm_work_with_heads_and_refuse_texts_with_the_same_line(name: str) -> None:
    found = capability(name)
    assert (found.text, found.weights) == ("", "r160_in1k")
    _try_all(found, load_backbone(name, "random", device="cpu"))


def test_towers_of_timm_that_are_not_supported_are_refused_with_the_same_line() -> None:
    with pytest.raises(UserError) as refused:
        load_backbone("timm:test_efficientnet", "random", device="cpu")
    assert capability("timm:test_efficientnet").refusals == dict.fromkeys(FAMILIES, str(refused.value))


@pytest.mark.parametrize("found", [name for name in KINDS if "relpos" not in name], indirect=True)
def test_small_and_large_models_of_an_architecture_are_of_the_same_kind(
    found: Capability, hugging_face: Callable[..., HFTextEncoder]
) -> None:
    backbone = _reduce(found.name, hugging_face)
    assert backbone.text.kind == found.text
    assert type(getattr(backbone.model.visual, "trunk", backbone.model.visual)).__name__ == found.image.split()[-1]


@pytest.mark.slow
def test_every_architecture_is_of_a_kind_that_is_tried() -> None:
    tried = {_kind(capability(name)) for name in KINDS}
    everything = list(list_capabilities(open_clip.list_models()))
    assert [one.name for one in everything] == open_clip.list_models()
    assert {_kind(one) for one in everything} == tried


def _kind(one: Capability) -> tuple[str, ...]:
    return (one.text, one.image, one.prompts, *one.refusals)


def test_all_families_have_learners() -> None:
    assert {_family(method) for method in list_learners()} == set(FAMILIES)


def test_what_must_be_installed_is_said() -> None:
    packages = {name: capability(name).package for name in ("ViT-B-32", "ViT-B-16-SigLIP", "xlm-roberta-base-ViT-B-32")}
    assert list(packages.values()) == [None, "transformers", "transformers"]


def test_asking_draws_no_random_number_and_takes_no_memory() -> None:
    state = torch.random.get_rng_state()
    backbone_of = capabilities._build("ViT-bigG-14", {})
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(weight.is_meta for name, weight in backbone_of.named_parameters() if name != "logit_scale")


def test_an_architecture_that_cannot_be_built_does_not_keep_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Unknown model (vit_of_tomorrow)\nmore")

    monkeypatch.setattr(open_clip, "create_model", fail)
    assert capability("RN50").refusals == dict.fromkeys(FAMILIES, "cannot be built: Unknown model (vit_of_tomorrow)")


def test_answers_are_kept_and_asked_again_when_the_file_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(capabilities, "capability", lambda name: asked.append(name) or capability(name))
    first = list(list_capabilities(["RN50", "ViT-B-32"], tmp_path))
    assert list(list_capabilities(["ViT-B-32", "RN50"], tmp_path)) == first[::-1]
    assert asked == ["RN50", "ViT-B-32"]
    (file,) = tmp_path.iterdir()
    file.write_text("[{")
    assert list(list_capabilities(["RN50"], tmp_path)) == first[:1]
    assert asked == ["RN50", "ViT-B-32", "RN50"]


def test_another_configuration_of_a_name_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (before,) = list_capabilities(["ViT-B-32"], tmp_path)
    configs = {**open_clip.factory._MODEL_CONFIGS, "ViT-B-32": get_model_config("RN50")}
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", configs)
    (after,) = list_capabilities(["ViT-B-32"], tmp_path)
    assert (before.image, after.image) == ("VisionTransformer", "ModifiedResNet")


def test_answers_are_given_where_they_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert [one.name for one in list_capabilities(["RN50"], tmp_path / "file" / "below")] == ["RN50"]


def test_architectures_are_found_by_name_or_part() -> None:
    assert find_architectures("ViT-B-16") == ["ViT-B-16"]
    assert find_architectures("rn50x4") == ["RN50x4", "RN50x4-quickgelu"]
    assert find_architectures(None) == open_clip.list_models()
    swins = ["timm:swin_base_patch4_window7_224", "timm:swin_base_patch4_window12_384"]
    assert find_architectures("timm:swin_base") == swins
    assert find_architectures("timm:test_vit.r160_in1k") == ["timm:test_vit.r160_in1k"]


WRONG = {
    "ViT-B-61": r"open_clip has no architecture 'ViT-B-61' \(did you mean 'ViT-B-16'\?\)",
    "timm:swin_bse_patch4_window7_224": r"timm has no architecture 'swin_bse_.*did you mean 'swin_base_patch4_window7_",
    "timm:test_vit.r161": r"timm has no weights 'r161' of test_vit \(did you mean",
    "timm:hf-hub:org/name": "timm has no architecture 'hf-hub:org/name'",
}


@pytest.mark.parametrize("name", WRONG)
def test_architectures_that_are_not_there_get_one_line(name: str) -> None:
    with pytest.raises(UserError, match=WRONG[name]) as error:
        find_architectures(name)
    assert "\n" not in str(error.value)

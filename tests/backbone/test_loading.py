from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.factory import create_model
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP, convert_weights_to_lp
from safetensors.torch import save_file

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.backbone._loading import _quick_gelu
from clipprompt.errors import UserError
from tests.conftest import GOLDEN, assert_close
from tests.golden import tiny_clip

VISION: dict[str, Any] = {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
RESNET: dict[str, Any] = {"image_size": 64, "layers": (1, 1, 1, 1), "width": 8, "head_width": 32, "patch_size": None}
TEXT: dict[str, Any] = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}


def _model(vision: dict[str, Any], text: dict[str, Any], custom: bool = False, quick_gelu: bool = False) -> Any:
    cls = CustomTextCLIP if custom else CLIP
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = cls(32, CLIPVisionCfg(**{**VISION, **vision}), CLIPTextCfg(**{**TEXT, **text}), quick_gelu=quick_gelu)
        for parameter in model.parameters():  # layer scales and projections start at nearly nothing
            parameter.data += 0.02 * torch.randn_like(parameter)
    return model.eval()


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "vit": ({}, {}, False),
    "vit, mean of the patches": ({"pool_type": "avg"}, {}, False),
    "vit, mean before the last norm": ({"pool_type": "avg", "final_ln_after_pool": True}, {}, False),
    "vit, layer scale, no first norm": ({"ls_init_value": 0.1, "no_ln_pre": True}, {"ls_init_value": 0.1}, False),
    "vit, sine positions": ({"pos_embed_type": "sin_cos_2d"}, {}, False),
    "vit, patch dropout in training": ({"patch_dropout": 0.5}, {}, False),
    "resnet": (RESNET, {}, False),
    "custom text": ({}, {}, True),
    "custom text, biased projection": (RESNET, {"proj_bias": True}, True),
    "text that ends at a given token": ({}, {"pool_type": "eos", "eos_id": 49407}, True),
    "text without a projection": ({}, {"proj_type": "none", "width": 32, "heads": 1}, True),
}


@pytest.mark.parametrize("quick_gelu", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_towers_of_every_kind_equal_open_clip(kind: str, quick_gelu: bool) -> None:
    vision, text, custom = KINDS[kind]
    model = _model(vision, text, custom, quick_gelu)
    backbone = Backbone.from_open_clip(model, open_clip.SimpleTokenizer())
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    tokens = backbone.tokenize(["a cat", "a photo of a cat", "a photo of a very long dog and nothing else at all"])
    with torch.no_grad():
        assert_close(backbone.encode_image(images), model.encode_image(images), 1e-5)
        assert_close(backbone.encode_text(tokens), model.encode_text(tokens), 1e-5)
        assert_close(backbone.encode_text(tokens[:1]), model.encode_text(tokens[:1]), 1e-5)


@pytest.mark.parametrize("kind", ["vit", "vit, layer scale, no first norm", "vit, coca"])
def test_low_precision_as_open_clip_makes_it_is_near_float32(kind: str) -> None:
    vision, text, _ = {**KINDS, "vit, coca": ({"attentional_pool": True, "attn_pooler_heads": 2}, {}, False)}[kind]
    exact, rounded = _model(vision, text), _model(vision, text)
    convert_weights_to_lp(rounded, torch.bfloat16)
    backbone = Backbone.from_open_clip(rounded, open_clip.SimpleTokenizer())
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    tokens = backbone.tokenize(["a cat", "a photo of a cat"])
    assert backbone.precision == "bf16"
    with torch.no_grad():
        assert_close(backbone.encode_image(images), exact.encode_image(images), 0.05)
        assert_close(backbone.encode_text(tokens), exact.encode_text(tokens), 0.05)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "two attention pools": ({"attentional_pool": "cascade"}, {}, "two attention pools"),
    "patches that are not square": ({"patch_size": (16, 8)}, {}, "patches are not square"),
    "custom blocks": ({"block_type": "custom", "qk_norm": True}, {}, "CustomResidualAttentionBlock"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_kinds_are_refused_in_one_line(kind: str) -> None:
    vision, text, message = REFUSED[kind]
    with pytest.raises(UserError, match=message) as error:
        Backbone.from_open_clip(_model(vision, text, custom=True), open_clip.SimpleTokenizer())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["ViT-B-32-SigLIP2-256", "xlm-roberta-base-ViT-B-32"])
def test_a_package_that_is_missing_is_named_before_anything_is_built(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_clip, "create_model", None)
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"transformers.*; pip install transformers"):
        load_backbone(name, device="cpu")


def test_a_tokenizer_that_cannot_be_had_is_told_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no connection to the Hub\nand more")

    monkeypatch.setattr(open_clip, "create_model", None)
    monkeypatch.setattr(open_clip, "get_tokenizer", unreachable)
    with pytest.raises(UserError, match=r"^cannot load backbone .*: no connection to the Hub$"):
        load_backbone("ViT-B-16-SigLIP", device="cpu")


def test_something_that_is_no_clip_is_refused() -> None:
    with pytest.raises(UserError, match="is a Linear, which is not supported"):
        Backbone.from_open_clip(torch.nn.Linear(1, 1), open_clip.SimpleTokenizer())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local open_clip folder of the tiny ResNet."""
    config = json.loads((GOLDEN / "tiny_rn_open_clip.json").read_text())
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(tiny_clip.tiny_rn_state_dict(0), tmp_path / "open_clip_model.safetensors")
    return tmp_path


def test_a_local_folder_gives_the_same_backbone(folder: Path, tiny_rn_backbone: Backbone) -> None:
    backbone = load_backbone(str(folder), device="cpu")
    assert backbone.fingerprint() == tiny_rn_backbone.fingerprint()
    assert backbone.embed_dim == 64
    assert backbone.image_size == 128
    assert backbone.preprocess is not None


def test_another_image_size_is_transformed_and_encoded(folder: Path) -> None:
    from PIL import Image

    backbone = load_backbone(str(folder), device="cpu", image_size=160)
    assert backbone.preprocess is not None
    image = backbone.preprocess(Image.new("RGB", (300, 200)))
    assert image.shape == (3, 160, 160)
    assert backbone.encode_image(image[None]).shape == (1, 64)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_lower_precision_stays_near_float32(folder: Path, tiny_rn_backbone: Backbone, precision: str) -> None:
    backbone = load_backbone(str(folder), device="cpu", precision=precision)
    assert backbone.precision == precision
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    tokens = backbone.tokenize(["a cat", "a dog"])
    for actual, expected in (
        (backbone.encode_image(images), tiny_rn_backbone.encode_image(images)),
        (backbone.encode_text(tokens), tiny_rn_backbone.encode_text(tokens)),
    ):
        assert actual.dtype == torch.float32
        assert_close(actual, expected, 0.05 if precision == "bf16" else 1e-6)


@pytest.mark.parametrize(
    ("name", "tag", "expected"),
    [("ViT-B-32", "openai", True), ("RN50", "openai", True), ("ViT-B-32", "laion2b_s34b_b79k", False)],
)
def test_openai_weights_get_quick_gelu_unasked(
    name: str, tag: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def record(source: str, **options: Any) -> Any:
        asked.update(options)
        return create_model(source, precision="fp32", force_quick_gelu=options["force_quick_gelu"])

    monkeypatch.setattr(open_clip, "create_model", record)
    assert _quick_gelu(name, tag) is expected
    backbone = load_backbone(name, tag, device="cpu")
    assert asked["pretrained"] == tag
    activation = type(backbone.model.transformer.resblocks[0].mlp.gelu).__name__
    assert activation == ("QuickGELU" if expected else "GELU")


def test_random_weights_come_from_the_seed_and_are_announced(caplog: pytest.LogCaptureFixture) -> None:
    state = torch.random.get_rng_state()
    handlers = list(logging.getLogger().handlers)
    first, second, other = (load_backbone("RN50", device="cpu", seed=seed).fingerprint() for seed in (1, 1, 2))
    assert first == second != other
    assert torch.equal(torch.random.get_rng_state(), state)
    assert logging.getLogger().handlers == handlers
    assert "its weights are random" in caplog.text


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": "ViT-B-61"}, "did you mean 'ViT-B-16'"),
    ({"name": "minni"}, "did you mean 'mini'"),
    ({"name": "ViT-B-16", "pretrained": "openia"}, "did you mean 'openai'"),
    ({"name": "mini", "pretrained": "openai"}, "brings its own weights"),
    ({"name": "RN50", "device": "tpu9"}, "device 'tpu9' is not there"),
    ({"name": "RN50", "precision": "fp8"}, "is not one of fp32, bf16, fp16"),
    ({"name": "RN50", "device": "cpu", "precision": "fp16"}, "does not work on a CPU"),
    ({"name": "RN50", "device": "cpu", "image_size": 225}, "225 is not a multiple of 32"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_requests_get_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_backbone(**arguments)
    assert "\n" not in str(error.value)


def test_broken_folders_get_one_line(folder: Path) -> None:
    config, weights = folder / "open_clip_config.json", folder / "open_clip_model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[: len(good) // 2])
    with pytest.raises(UserError, match="cannot load backbone"):
        load_backbone(str(folder), device="cpu")
    weights.unlink()
    with pytest.raises(UserError, match="has no weights"):
        load_backbone(str(folder), device="cpu")
    config.write_text("{}")
    with pytest.raises(UserError, match="is not a configuration of open_clip"):
        load_backbone(str(folder), device="cpu")
    config.unlink()
    with pytest.raises(UserError, match=r"has no open_clip_config\.json"):
        load_backbone(str(folder), device="cpu")


def test_a_pickle_in_place_of_weights_executes_nothing(tmp_path: Path) -> None:
    """The file would create a marker when unpickled; it must be refused instead."""
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (marker,))

    torch.save({"state_dict": Evil()}, tmp_path / "weights.pt")
    with pytest.raises(UserError, match="cannot load backbone"):
        load_backbone("RN50", str(tmp_path / "weights.pt"), device="cpu")
    assert not marker.exists()


def test_one_string_is_no_list_of_texts(tiny_vit_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="not one string"):
        tiny_vit_backbone.tokenize("a cat")


def test_a_text_that_is_too_long_is_named(tiny_vit_backbone: Backbone) -> None:
    fits, too_long = "word " * 75, "word " * 76
    assert tiny_vit_backbone.tokenize([fits]).shape == (1, 77)
    with pytest.raises(UserError, match="too long for this backbone's 77 tokens: 'word word"):
        tiny_vit_backbone.tokenize(["short", too_long])
    assert int(tiny_vit_backbone.text.end_positions(tiny_vit_backbone.tokenize([too_long], truncate=True))) == 76

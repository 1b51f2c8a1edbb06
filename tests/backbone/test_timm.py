"""Backbones from timm by name: image towers without a text tower, on tiny models with random weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from clipprompt.backbone import Backbone, check_backbone, has_text_tower, load_backbone
from clipprompt.errors import UserError
from tests.conftest import assert_close


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("timm:test_vit", "random", device="cpu")


def _images(size: int = 160) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_features_are_what_timm_pools(backbone: Backbone) -> None:
    trunk = backbone.model.visual.trunk
    expected = trunk.forward_head(trunk.forward_features(_images()), pre_logits=True)
    assert_close(backbone.encode_image(_images()), expected, 1e-5)
    assert (backbone.embed_dim, backbone.image_size, backbone.precision) == (64, 160, "fp32")
    assert (backbone.name, backbone.pretrained, backbone.has_text) == ("timm:test_vit", "random", False)
    assert has_text_tower("mini")
    assert not has_text_tower(backbone.name)


def test_random_weights_come_from_the_seed(backbone: Backbone) -> None:
    state = torch.random.get_rng_state()
    again, other = (load_backbone("timm:test_vit", "random", device="cpu", seed=seed) for seed in (0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert again.fingerprint() == backbone.fingerprint() != other.fingerprint()


def test_the_transform_is_that_of_the_tag() -> None:
    names = ("deit_tiny_patch16_224.fb_in1k", "test_vit.r160_in1k")
    deit, vit = (repr(load_backbone(f"timm:{name}", "random", device="cpu").preprocess) for name in names)
    assert "Resize(size=168" in vit
    assert "mean=tensor([0.5000, 0.5000, 0.5000])" in vit
    assert "mean=tensor([0.4850, 0.4560, 0.4060])" in deit
    assert " at 0x" not in vit  # caches and records of another process know it again


def test_another_image_size_is_timms_own_with_interpolated_positions(backbone: Backbone) -> None:
    larger = load_backbone("timm:test_vit", "random", device="cpu", image_size=192)
    assert larger.image_size == 192
    assert "CenterCrop(size=(192, 192))" in repr(larger.preprocess)
    assert_close(larger.encode_image(_images(192)), backbone.model.visual(_images(192)), 1e-5)


def test_pictures_of_any_mode_are_taken(backbone: Backbone) -> None:
    assert backbone.preprocess is not None
    grey = Image.new("L", (200, 100), 128)
    assert torch.equal(backbone.preprocess(grey), backbone.preprocess(grey.convert("RGB")))


def test_low_precision_is_near_float32(backbone: Backbone) -> None:
    half = load_backbone("timm:test_vit", "random", device="cpu", precision="bf16")
    assert half.precision == "bf16"
    assert_close(half.encode_image(_images()), backbone.encode_image(_images()), 0.1)


def test_a_model_that_is_held_keeps_its_classifier_and_shares_its_weights() -> None:
    model = timm.create_model("test_vit", num_classes=7)
    logits = model.eval()(_images())
    held = Backbone.from_timm(model, name="held")
    assert torch.equal(model(_images()), logits)
    assert held.encode_image(_images()).shape == (2, 64)
    with torch.no_grad():
        model.cls_token += 1
    assert held.model.visual.trunk.cls_token is model.cls_token
    assert "CenterCrop" in repr(held.preprocess)


def _moco(state: dict[str, Any]) -> dict[str, Any]:
    """As MoCo v3 publishes: both encoders and a predictor, the projector in place of the head."""
    encoders = {f"module.{one}_encoder.{key}": value for key, value in state.items() for one in ("base", "momentum")}
    return {"epoch": 300, "state_dict": {**encoders, "module.predictor.0.weight": torch.zeros(2)}}


def _jax(state: dict[str, Any]) -> dict[str, Any]:
    """As the first ViTs were published: kernels (in, out), attention by heads, images' channels last."""
    kernels = {key: value.numpy() for key, value in state.items()}
    width, heads = state["cls_token"].shape[-1], 2
    found = {"cls": kernels["cls_token"], "Transformer/posembed_input/pos_embedding": kernels["pos_embed"]}
    found["embedding/kernel"] = kernels["patch_embed.proj.weight"].transpose(2, 3, 1, 0)
    found["embedding/bias"] = kernels["patch_embed.proj.bias"]
    norms = {"norm": "Transformer/encoder_norm"}
    for i in range(6):
        block, theirs = f"blocks.{i}.", f"Transformer/encoderblock_{i}/"
        norms |= {f"{block}norm1": f"{theirs}LayerNorm_0", f"{block}norm2": f"{theirs}LayerNorm_2"}
        attention = f"{theirs}MultiHeadDotProductAttention_1/"
        for j, name in enumerate(("query", "key", "value")):
            rows = slice(j * width, (j + 1) * width)
            found[f"{attention}{name}/kernel"] = kernels[f"{block}attn.qkv.weight"][rows].T.reshape(width, heads, -1)
            found[f"{attention}{name}/bias"] = kernels[f"{block}attn.qkv.bias"][rows].reshape(heads, -1)
        found[f"{attention}out/kernel"] = kernels[f"{block}attn.proj.weight"].T.reshape(heads, -1, width)
        found[f"{attention}out/bias"] = kernels[f"{block}attn.proj.bias"]
        for j in (0, 1):
            found[f"{theirs}MlpBlock_3/Dense_{j}/kernel"] = kernels[f"{block}mlp.fc{j + 1}.weight"].T
            found[f"{theirs}MlpBlock_3/Dense_{j}/bias"] = kernels[f"{block}mlp.fc{j + 1}.bias"]
    for ours, theirs in norms.items():
        found |= {f"{theirs}/scale": kernels[f"{ours}.weight"], f"{theirs}/bias": kernels[f"{ours}.bias"]}
    return found


LAYOUTS: dict[str, Callable[[dict[str, Any], Path], object]] = {
    "model.safetensors": lambda state, path: save_file(state, path),
    "model.pth": lambda state, path: torch.save(state, path),
    "mae.pth": lambda state, path: torch.save({"model": state}, path),
    "vit.npz": lambda state, path: np.savez(path, **_jax(state)),
    "linear-mocov3.pth.tar": lambda state, path: torch.save(
        {"state_dict": {f"module.{key}": value for key, value in state.items()}}, path
    ),
    "mocov3.pth.tar": lambda state, path: torch.save(_moco(state), path),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_are_read_from_a_file(name: str, tmp_path: Path) -> None:
    model = timm.create_model("test_vit", num_classes=3).eval()
    LAYOUTS[name](model.state_dict(), tmp_path / name)
    loaded = load_backbone("timm:test_vit", str(tmp_path / name), device="cpu")
    features = model.forward_head(model.forward_features(_images()), pre_logits=True)
    assert_close(loaded.encode_image(_images()), features, 1e-5)
    assert loaded.pretrained == str(tmp_path / name)


def test_what_needs_texts_says_what_works_without(backbone: Backbone) -> None:
    tokens = torch.zeros(1, 3, dtype=torch.long)
    uses: list[Callable[[], object]] = [
        lambda: backbone.text,
        lambda: backbone.tokenizer,
        lambda: backbone.logit_scale,
        lambda: backbone.text_width,
        lambda: backbone.context_length,
        lambda: backbone.tokenize(["cat"]),
        lambda: backbone.encode_text(tokens),
    ]
    for use in uses:
        with pytest.raises(UserError, match=r"^this needs a text tower, and timm:test_vit has .* such as linear"):
            use()


WRONG: dict[str, tuple[str, str | None, str]] = {
    "architecture": ("timm:vit_base_patch16_225", None, r"no model 'vit_base_patch16_225' \(did you mean 'vit_base_"),
    "tag": (
        "timm:vit_base_patch16_224.mea",
        None,
        r"no weights 'mea' of .* \(did you mean 'mae'\?\)",
    ),
    "tag in the wrong place": (
        "timm:test_vit",
        "r160_in1k",
        r"a tag in the name, timm:test_vit.TAG \(r160_in1k\)",
    ),
    "no weights at all": ("timm:test_vit4", None, "timm has no weights of test_vit4; give 'random' or a file"),
    "repository": ("timm:hf-hub:vit", None, "give a repository of the Hub as timm:hf-hub:ORG/NAME"),
    "kind of tower": ("timm:test_efficientnet", "random", "the image tower is a EfficientNet; supported are"),
    "rotary positions": ("timm:vit_small_patch16_rope_mixed_224", "random", "has a RotaryEmbeddingMixed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_names_are_found_before_anything_is_loaded(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, pretrained, message = WRONG[case]
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(UserError, match=message) as error:
        check_backbone(name, pretrained)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_vit.r160_in1k", "timm:hf-hub:someone/vit"])
def test_weights_that_cannot_be_fetched_say_how_to_get_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection\nand more")

    for place in ("timm.models._builder.load_state_dict_from_hf", "timm.models._factory.load_model_config_from_hf"):
        monkeypatch.setattr(place, unreachable)
    check_backbone(name, None)
    with pytest.raises(UserError, match=r"cannot be fetched; with a network, hf download .*/.*vit") as error:
        load_backbone(name, device="cpu")
    assert "\n" not in str(error.value)


def _other_model(path: Path) -> None:
    torch.save(timm.create_model("test_convnext", num_classes=0).state_dict(), path)


def _another_width(path: Path) -> None:
    torch.save(timm.create_model("test_vit", embed_dim=32, num_classes=0).state_dict(), path)


def _with_code(path: Path) -> None:
    torch.save({"model": Path}, path)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "of another architecture": (_other_model, "holds no weights of timm:test_vit: it has no 'cls_token' and"),
    "of another width": (_another_width, "cannot be read as weights of timm:test_vit: size mismatch for cls_token"),
    "with code": (_with_code, "cannot be read as weights of timm:test_vit"),
    "no weights": (lambda path: path.write_text("hello"), "cannot be read as weights of timm:test_vit"),
    "text like pickle": (lambda path: path.write_text("root:x:0"), "cannot be read as weights of timm:test_vit"),
    "a list": (lambda path: torch.save([1, 2], path), "cannot be read as weights of timm:test_vit"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_do_not_fit_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    write, message = FILES[case]
    write(tmp_path / "weights.pth")
    with pytest.raises(UserError, match=message) as error:
        load_backbone("timm:test_vit", str(tmp_path / "weights.pth"), device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_resnet"])
@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04broken"], ids=["text", "broken"])
def test_npz_files_that_are_none_are_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(content)
    with pytest.raises(UserError, match=rf"weights.npz cannot be read as weights of {name}") as error:
        load_backbone(name, str(tmp_path / "weights.npz"), device="cpu")
    assert "\n" not in str(error.value)


def test_what_is_no_timm_model_is_refused() -> None:
    with pytest.raises(UserError, match="a Linear is no model of timm"):
        Backbone.from_timm(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("size", [100, 0])
def test_image_sizes_are_multiples_of_the_patch(size: int) -> None:
    with pytest.raises(UserError, match=f"image size {size} is not a multiple of 16"):
        load_backbone("timm:test_vit", "random", device="cpu", image_size=size)


@pytest.mark.parametrize("size", [224, 256])
def test_a_swin_takes_its_own_image_size_alone(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(timm.create_model, depths=(1, 1, 1, 1), embed_dim=16, num_heads=(1, 2, 4, 8))
    monkeypatch.setattr(timm, "create_model", small)
    name = "timm:swin_tiny_patch4_window7_224"
    if size == 224:
        assert load_backbone(name, "random", device="cpu", image_size=size).image_size == size
        return
    with pytest.raises(UserError, match=f"image size 256: {name} takes 224 only; leave the size out"):
        load_backbone(name, "random", device="cpu", image_size=size)

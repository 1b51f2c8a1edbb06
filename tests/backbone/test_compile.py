"""A real compiler on a tiny model: what it makes gives the numbers of before, forward and backward."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator

import pytest
import torch

from clipprompt.backbone import Backbone, _compile
from clipprompt.backbone._blocks import COMPILED
from clipprompt.errors import UserError
from clipprompt.learners import create_learner, learner_options
from tests.conftest import Golden, assert_close
from tests.learners._names import LEARN_FROM_A_BATCH

NAMES = ["cat", "traffic light", "a very large air balloon"]

# torch's compiler looks at what its own warnings forbid.
pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
    pytest.mark.filterwarnings("ignore"),
]


def _copy(backbone: Backbone) -> Backbone:
    return Backbone.from_open_clip(copy.deepcopy(backbone.model), backbone.tokenizer)


@pytest.fixture(scope="module")
def compiled(tiny_vit_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backbone]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield _copy(tiny_vit_backbone).compile()


def _loss_and_gradients(name: str, backbone: Backbone, inputs: Golden) -> dict[str, torch.Tensor]:
    depths = {field: 3 for field in learner_options(name).model_fields if field.startswith("depth")}
    learner = create_learner(name, backbone, NAMES, **depths)
    batch = inputs["caption_tokens"][:3] if learner.trains_on == "captions" else inputs["images_vit"][:3]
    loss = learner.loss(batch, torch.eye(3, dtype=torch.long))
    loss.backward()
    gradients = {key: p.grad for key, p in learner.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **gradients}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARN_FROM_A_BATCH)
def test_compiled_towers_give_the_same_loss_and_gradients(
    tiny_vit_backbone: Backbone, compiled: Backbone, name: str, inputs: Golden
) -> None:
    plain, fast = (_loss_and_gradients(name, backbone, inputs) for backbone in (tiny_vit_backbone, compiled))
    assert plain.keys() == fast.keys()
    for key, expected in plain.items():
        assert_close(fast[key], expected, 1e-5 if key == "loss" else 1e-4)


@pytest.mark.slow
def test_compiled_towers_encode_and_chunk_as_before(
    tiny_vit_backbone: Backbone, compiled: Backbone, inputs: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_close(
        compiled.encode_image(inputs["images_vit"]), tiny_vit_backbone.encode_image(inputs["images_vit"]), 1e-5
    )
    tokens = inputs["caption_tokens"]
    assert_close(compiled.encode_text(tokens), tiny_vit_backbone.encode_text(tokens), 1e-5)
    monkeypatch.setattr("clipprompt.backbone._text.POSITIONS_AT_ONCE", 8)
    fast, plain = (_loss_and_gradients("cocoop", one, inputs) for one in (compiled, tiny_vit_backbone))
    for key, expected in plain.items():
        assert_close(fast[key], expected, 1e-4)


@pytest.mark.slow
def test_every_block_runs_what_was_compiled(
    tiny_vit_backbone: Backbone, compiled: Backbone, inputs: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    frames = counters["frames"]["ok"]
    torch._dynamo.reset()
    compiled.encode_image(inputs["images_vit"])
    compiled.encode_text(inputs["caption_tokens"])
    assert counters["frames"]["ok"] > frames
    monkeypatch.setattr("clipprompt.backbone._blocks.walk_block", None)  # what a block without a compiled walk runs
    compiled.encode_image(inputs["images_vit"])
    compiled.encode_text(inputs["caption_tokens"])
    with pytest.raises(TypeError, match="not callable"):
        tiny_vit_backbone.encode_image(inputs["images_vit"])


@pytest.mark.slow
def test_only_the_compiled_backbone_changes(tiny_vit_backbone: Backbone, compiled: Backbone) -> None:
    from torch._dynamo import config

    settings, threads, state = config.save_config(), torch.get_num_threads(), torch.random.get_rng_state()
    again = _copy(compiled)
    assert again.compile() is again
    again.encode_text(again.tokenize(NAMES))
    assert config.save_config() == settings
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    assert again.fingerprint() == compiled.fingerprint() == tiny_vit_backbone.fingerprint()
    assert not any(hasattr(module, COMPILED) for module in tiny_vit_backbone.model.modules())


def test_without_a_compiler_there_is_one_line(tiny_vit_backbone: Backbone) -> None:
    from torch._dynamo.eval_frame import reset_code
    from torch._inductor import config

    reset_code(_compile._sample.__code__)
    backbone = _copy(tiny_vit_backbone)
    with (
        config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(UserError, match="a C\\+\\+ compiler") as error,
    ):
        backbone.compile()
    assert "\n" not in str(error.value)
    assert not any(hasattr(module, COMPILED) for module in backbone.model.modules())

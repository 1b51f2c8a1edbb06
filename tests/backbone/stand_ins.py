"""Stand-ins for what cannot be fetched in a test: tokenizers of every layout, and Hugging Face's text models."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import open_clip.hf_model
import pytest
import torch
from open_clip.coca_model import CoCa, MultimodalCfg
from open_clip.hf_model import BaseModelOutput, HFTextEncoder
from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from torch import Tensor, nn
from torch.nn import functional as F

VOCABULARY = 512
LENGTH = 16
VISION: dict[str, Any] = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
TEXT: dict[str, Any] = {"context_length": LENGTH, "vocab_size": VOCABULARY, "width": 32, "heads": 2, "layers": 3}


class StandInTokenizer:
    """Words and punctuation to ids from 20 to 499, laid out as a real tokenizer does it."""

    def __init__(
        self,
        *,
        start: tuple[int, ...] = (),
        end: tuple[int, ...],
        pad: int,
        tail: tuple[int, ...] = (),
        keeps_punctuation: bool = True,
        marks_spaces: bool = False,
        context_length: int = LENGTH,
    ) -> None:
        self.start, self.end, self.pad, self.tail = start, end, pad, tail
        self.keeps_punctuation, self.marks_spaces = keeps_punctuation, marks_spaces
        self.context_length = context_length

    def words(self, text: str) -> list[int]:
        found = re.findall(r"\w+|[^\w\s]" if self.keeps_punctuation else r"\w+", text.lower())
        if self.marks_spaces:  # a word at the beginning is another token than the same word behind a space
            found = [word if i == 0 or not word.isalnum() else f" {word}" for i, word in enumerate(found)]
        return [20 + zlib.crc32(word.encode()) % 480 for word in found]

    def __call__(self, texts: list[str], context_length: int | None = None) -> Tensor:
        length = context_length or self.context_length
        rows = []
        for text in texts:
            room = length - len(self.start) - len(self.end) - len(self.tail)
            row = [*self.start, *self.words(text)[:room], *self.end]
            rows.append([*row, *[self.pad] * (length - len(row) - len(self.tail)), *self.tail])
        return torch.tensor(rows)


TOKENIZERS: dict[str, Callable[[], StandInTokenizer]] = {
    "clip": lambda: StandInTokenizer(start=(510,), end=(511,), pad=0),
    "siglip": lambda: StandInTokenizer(end=(1,), pad=1, keeps_punctuation=False),
    "siglip2": lambda: StandInTokenizer(end=(1,), pad=0, keeps_punctuation=False, marks_spaces=True),
    "clipa": lambda: StandInTokenizer(start=(5,), end=(0,), pad=0),
    "clips": lambda: StandInTokenizer(start=(5,), end=(6,), pad=0, tail=(7,)),
    "xlm": lambda: StandInTokenizer(start=(2,), end=(3,), pad=1, marks_spaces=True),
    "mt5": lambda: StandInTokenizer(end=(1,), pad=0),
    "nllb": lambda: StandInTokenizer(end=(2, 8), pad=1),
}
# What a text tower of open_clip can be, as (text configuration, layout of its tokenizer).
TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "causal": ({}, "clip"),
    "causal, no start token": ({"pool_type": "eos", "eos_id": 1}, "mt5"),
    "causal, other end token": ({"pool_type": "eos", "eos_id": 3}, "xlm"),
    "causal, read at the last position": ({"pool_type": "last"}, "clipa"),
    "siglip": ({"no_causal_mask": True, "pool_type": "last", "proj_bias": True}, "siglip"),
    "siglip2": ({"no_causal_mask": True, "pool_type": "last", "act_kwargs": {"approximate": "tanh"}}, "siglip2"),
    "siglip, no projection": ({"no_causal_mask": True, "pool_type": "last", "proj_type": "none"}, "siglip"),
    "clipa": ({"no_causal_mask": True, "pool_type": "last"}, "clipa"),
    "clips": ({"no_causal_mask": True, "pool_type": "last"}, "clips"),
    "mobileclip": ({"no_causal_mask": True}, "clip"),
    "first position": ({"no_causal_mask": True, "pool_type": "first"}, "clip"),
    "layer scale": ({"no_causal_mask": True, "ls_init_value": 0.5}, "clip"),
    "custom blocks": ({"qk_norm": True, "scale_attn": True, "scale_fc": True, "scale_heads": True}, "clip"),
    "custom blocks, both directions": ({"no_causal_mask": True, "pool_type": "last", "qk_norm": True}, "siglip"),
    "class token": ({"embed_cls": True}, "clip"),
    "class token, both directions": ({"embed_cls": True, "no_causal_mask": True}, "clip"),
}


class StandInTransformer(nn.Module):
    """A small bidirectional transformer that is called as those of the package transformers are."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, 32)
        self.positions = nn.Embedding(LENGTH, 32)
        self.layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)

    def forward(
        self, attention_mask: Tensor, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None
    ) -> Any:
        states = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        states = states + self.positions.weight[: states.shape[1]]
        mask = torch.zeros(attention_mask.shape).masked_fill(attention_mask == 0, -torch.inf)
        output = BaseModelOutput()
        output.last_hidden_state = self.layer(states, src_key_padding_mask=mask)
        return output


@pytest.fixture
def hugging_face(monkeypatch: pytest.MonkeyPatch) -> Callable[..., HFTextEncoder]:
    """Makes open_clip's text encoder around the stand-in, as if the package transformers were installed."""

    def make(
        pooler: str, pad: int, transformer: type[nn.Module] = StandInTransformer, embed_dim: int = 32
    ) -> HFTextEncoder:
        config = SimpleNamespace(model_type="roberta", hidden_size=32, pad_token_id=pad, num_hidden_layers=3)
        models = SimpleNamespace(from_config=lambda _: transformer())
        monkeypatch.setattr(open_clip.hf_model, "transformers", object())
        monkeypatch.setattr(open_clip.hf_model, "AutoModel", models, raising=False)
        for kind in ("BaseModelOutputWithPooling", "BaseModelOutputWithPoolingAndCrossAttentions"):
            monkeypatch.setattr(open_clip.hf_model, kind, type(kind, (), {}), raising=False)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return HFTextEncoder("stand-in", embed_dim, config=config, pooler_type=pooler, proj_type="mlp")

    return make


def make_model(text: dict[str, Any], vision: dict[str, Any] | None = None, embed_dim: int = 32) -> Any:
    """A small random model: ``CoCa`` where the text has a class token, ``CustomTextCLIP`` otherwise."""
    vision_cfg, text_cfg = CLIPVisionCfg(**{**VISION, **(vision or {})}), CLIPTextCfg(**{**TEXT, **text})
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        if text_cfg.embed_cls:
            text_cfg.output_tokens = vision_cfg.output_tokens = True
            decoder = MultimodalCfg(context_length=LENGTH, width=32, heads=2, layers=1)
            model: Any = CoCa(embed_dim, decoder, text_cfg, vision_cfg)
        else:
            model = CustomTextCLIP(embed_dim, vision_cfg, text_cfg)
        for parameter in model.parameters():  # projections and norms start at nearly nothing, or at one
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def encode_text(model: Any, tokens: Tensor) -> Tensor:
    """open_clip's own features, L2-normalised."""
    with torch.no_grad():
        return F.normalize(model.encode_text(tokens, normalize=False), dim=-1)

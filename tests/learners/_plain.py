"""Prompted towers in their plainest form: all positions of all classes, one layer of open_clip's after another."""

from __future__ import annotations

import json
from functools import cache

import open_clip
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor
from torch.nn import functional as F

from clipprompt.backbone import Backbone
from tests.conftest import GOLDEN
from tests.golden import tiny_clip


@cache
def tiny_vit(width: int) -> Backbone:
    """The tiny CLIP with an image tower of another width than the text tower's 128."""
    config = json.loads((GOLDEN / "tiny_vit_open_clip.json").read_text())
    vision = CLIPVisionCfg(**{**config["vision_cfg"], "width": width})
    model = CLIP(config["embed_dim"], vision, CLIPTextCfg(**config["text_cfg"]), quick_gelu=True)
    model.load_state_dict(tiny_clip.tiny_vit_state_dict(0, vision_width=width), strict=True)
    return Backbone.from_open_clip(model, open_clip.SimpleTokenizer(), name=f"tiny_vit of width {width}")


def plain_image_features(backbone: Backbone, images: Tensor, prompts: Tensor, deep: Tensor | None) -> Tensor:
    """Features (B, E) with prompts (n, W) behind the patches, made anew before layers 1 to J-1."""
    visual = backbone.model.visual
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    states = torch.cat([visual.class_embedding.expand(len(images), 1, -1), patches], dim=1)
    states = torch.cat([states + visual.positional_embedding, prompts.expand(len(images), -1, -1)], dim=1)
    states = visual.ln_pre(states)
    for layer, block in enumerate(visual.transformer.resblocks):
        if deep is not None and 1 <= layer <= len(deep):
            states = torch.cat([states[:, : -len(prompts)], deep[layer - 1].expand(len(images), -1, -1)], dim=1)
        states = block(states)
    return F.normalize(visual.ln_post(states[:, 0]) @ visual.proj, dim=-1)


def plain_text_features(backbone: Backbone, texts: list[str], context: Tensor, deep: Tensor | None) -> Tensor:
    """Features (C, E) of texts whose first words a context (n, d) replaces, made anew before layers 1 to J-1."""
    model, n_ctx = backbone.model, len(context)
    tokens = backbone.tokenize(texts)
    embedded = model.token_embedding(tokens)
    context = context.expand(len(texts), -1, -1)
    states = torch.cat([embedded[:, :1], context, embedded[:, 1 + n_ctx :]], dim=1) + model.positional_embedding
    for layer, block in enumerate(model.transformer.resblocks):
        if deep is not None and 1 <= layer <= len(deep):
            again = deep[layer - 1].expand(len(texts), -1, -1)
            states = torch.cat([states[:, :1], again, states[:, 1 + n_ctx :]], dim=1)
        states = block(states, attn_mask=model.attn_mask)
    ends = model.ln_final(states)[torch.arange(len(texts)), tokens.argmax(dim=-1)]
    return F.normalize(ends @ model.text_projection, dim=-1)

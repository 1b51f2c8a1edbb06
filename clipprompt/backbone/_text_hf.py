"""Text towers of Hugging Face inside open_clip: XLM-RoBERTa, RoBERTa, mT5's encoder, NLLB's encoder.

They take embeddings in place of ids and hide their padding; open_clip puts a pooling and a projection behind them.
What happens between their layers is their own affair, so only their input can be prompted.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clipprompt.backbone._layout import TextLayout
from clipprompt.backbone._text_whole import WholeTextTower
from clipprompt.errors import UserError

_TOLERANCE = 1e-3  # of the largest entry, between a text's feature from ids and from embeddings


class HFTextTower(WholeTextTower):
    """A frozen text model of the package transformers, in open_clip's ``HFTextEncoder``."""

    kind = "Hugging Face"
    takes_deep_prompts = False

    def __init__(self, source: Any, layout: TextLayout, name: str) -> None:
        """Takes an ``HFTextEncoder``.

        Raises:
            UserError: if contexts cannot be put into its texts, or embeddings do not give it what token ids give.
        """
        super().__init__(layout)
        self._source, self._name = source, name
        model = source.transformer
        self._embedding: nn.Module = getattr(model, "embed_tokens", None) or model.get_input_embeddings()
        self._weight = self._embedding.get_parameter("weight")
        self.width: int = self._weight.shape[1]
        self.n_layers: int = source.config.num_hidden_layers
        self._check(layout.check())

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the layers compute."""
        dtype: torch.dtype = self._weight.dtype
        return dtype

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Token embeddings (…, L, d), float32 and without positions, of ids (…, L)."""
        embedded: Tensor = self._embedding(tokens.to(self._weight.device))
        return embedded.float()

    def _run(self, embedded: Tensor, ends: Tensor, deep: Tensor | None) -> tuple[Tensor, Tensor]:
        if deep is not None:
            raise UserError(f"the layers of {self._name}'s text tower cannot be prompted: only its input can (depth 1)")
        places = self.layout.places_after(ends)
        ending = torch.tensor(self.layout.ending, device=places.device)
        seen = ((places <= 0) | (ending[places.clamp(min=0)] != self._source.config.pad_token_id)).long()
        states = self._complete(embedded, places).to(self.dtype)
        found = self._source.transformer(inputs_embeds=states, attention_mask=seen)
        return found.last_hidden_state, self._source.pooler(found, seen)

    def _project(self, states: Tensor) -> Tensor:
        projected: Tensor = self._source.proj(states)
        return projected.float()

    @torch.no_grad()
    def _check(self, tokens: Tensor) -> None:
        layers = (module for module in self._source.modules() if isinstance(module, nn.Linear))
        if any(layer.weight.dtype != self.dtype for layer in layers):  # open_clip converts these models in part
            raise UserError(f"the text tower of {self._name!r} computes in fp32 only; load it with precision fp32")
        expected = self._source.eval()(tokens.to(self._weight.device)).float()
        difference = (self.encode_tokens(tokens) - expected).abs().max()
        if not difference <= _TOLERANCE * expected.abs().max():
            raise UserError(f"the text tower of {self._name!r} makes something else of embeddings than of their tokens")

"""The words of the vocabulary that lie nearest to vectors in the space of token embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clipprompt.errors import UserError
from clipprompt.printable import printable

if TYPE_CHECKING:
    from clipprompt.backbone import Backbone

_WORDS_AT_ONCE = 2048
_PAIRS, _SEARCHED = 1000, 100


@dataclass(frozen=True)
class NearWord:
    """A word of the vocabulary, and its Euclidean distance from a vector."""

    word: str
    distance: float


@dataclass(frozen=True)
class Yardsticks:
    """What a distance means in this vocabulary: medians of Euclidean distances.

    Attributes:
        random_pair: between two words drawn at random.
        nearest_word: from a word drawn at random to the nearest other word.
    """

    random_pair: float
    nearest_word: float


def clip_tokenizer(backbone: Backbone) -> Any:
    """The backbone's tokenizer, whose vocabulary marks whole words.

    Raises:
        UserError: if it is not CLIP's byte-pair encoding.
    """
    if not hasattr(backbone.tokenizer, "byte_decoder"):
        raise UserError(f"the tokenizer of {backbone.name} is no CLIP tokenizer: its words are unknown")
    return backbone.tokenizer


class WordSpace:
    """The whole words of CLIP's tokenizer (tokens that end a word), and their embeddings, read a part at a time."""

    def __init__(self, backbone: Backbone) -> None:
        tokenizer = clip_tokenizer(backbone)
        self._backbone, self._bytes = backbone, tokenizer.byte_decoder
        self._tokens = [(token, number) for token, number in tokenizer.encoder.items() if token.endswith("</w>")]

    def __len__(self) -> int:
        return len(self._tokens)

    def embed(self, indices: range | list[int]) -> Tensor:
        """Embeddings of some words, float32 (N, d)."""
        return self._backbone.text.embed_tokens(torch.tensor([self._tokens[index][1] for index in indices]))

    def text(self, index: int) -> str:
        r"""A word as people write it; bytes that are no text stand as ``\xf0``."""
        token = self._tokens[index][0].removesuffix("</w>")
        return printable(bytes(self._bytes[letter] for letter in token).decode("utf-8", errors="backslashreplace"))

    def nearest(self, vectors: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """The nearest words of N vectors (N, d): distances and indices, both (N, top), nearest first."""
        distances = vectors.new_empty(len(vectors), 0)
        indices = torch.empty(len(vectors), 0, dtype=torch.long, device=vectors.device)
        for start in range(0, len(self), _WORDS_AT_ONCE):
            part = range(start, min(start + _WORDS_AT_ONCE, len(self)))
            numbers = torch.arange(part.start, part.stop, device=vectors.device).expand(len(vectors), -1)
            distances = torch.cat([distances, _distances(vectors, self.embed(part))], dim=1)
            indices = torch.cat([indices, numbers], dim=1)
            distances, kept = distances.topk(min(top, distances.shape[1]), largest=False, dim=1)
            indices = indices.gather(1, kept)
        return distances, indices

    def near_words(self, vectors: Tensor, top: int) -> list[tuple[NearWord, ...]]:
        """The ``top`` nearest words of each vector (N, d)."""
        distances, indices = self.nearest(vectors, top)
        return [
            tuple(NearWord(self.text(index), distance) for index, distance in zip(*row, strict=True))
            for row in zip(indices.tolist(), distances.tolist(), strict=True)
        ]

    def yardsticks(self, generator: torch.Generator) -> Yardsticks:
        """How far words are from one another; ``generator``, on the CPU, draws the words."""
        one, other = (self.embed(torch.randint(len(self), (_PAIRS,), generator=generator).tolist()) for _ in range(2))
        to_nearest = self.nearest(one[:_SEARCHED], 2)[0][:, 1]  # the nearest of all is the word itself
        return Yardsticks(float((one - other).norm(dim=1).median()), float(to_nearest.median()))

    def noise(self, vectors: Tensor, generator: torch.Generator) -> list[float]:
        """For each vector (N, d), the distance to the nearest word from a random direction of the same length."""
        noise = torch.randn(vectors.shape, generator=generator).to(vectors.device)
        noise = noise * vectors.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
        return [float(distance) for distance in self.nearest(noise, 1)[0]]


def _distances(vectors: Tensor, words: Tensor) -> Tensor:
    # Through a matrix product, small distances would be differences of large numbers.
    return torch.cdist(vectors, words, compute_mode="donot_use_mm_for_euclid_dist")

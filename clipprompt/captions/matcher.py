"""Labels captions: one automaton over all phrases of all classes.

A block of captions becomes one byte string of whole words (see `_fold`), is searched once, and the matches are
turned into labels by array operations. At every place the leftmost phrase wins, and of those the longest, so that
"hot dog" hides "dog".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipprompt.captions._english import stands_alone
from clipprompt.captions._fold import CAPTION_END, fold_block
from clipprompt.captions._phrases import Meaning, phrase_table
from clipprompt.captions.labels import Labels
from clipprompt.captions.synonyms import Vocabulary, load_classes

_BLOCK = 16384


class Matcher:
    """Finds the classes that captions name.

    Args:
        classes: anything that `load_classes` accepts.
    """

    def __init__(self, classes: str | Path | list[str] | tuple[str, ...] | Vocabulary) -> None:
        from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

        self.vocabulary = load_classes(classes)
        self.phrases: dict[bytes, Meaning] = phrase_table(self.vocabulary)
        # A table of transitions is quickest, and small for a closed list; very long lists take the compact form.
        small = sum(map(len, self.phrases)) < 400_000
        kind = Implementation.DFA if small else Implementation.ContiguousNFA
        self._search = BytesAhoCorasick(list(self.phrases), MatchKind.LeftmostLongest, kind).find_matches_as_indexes
        meanings = self.phrases.values()
        self._sure = Labels.from_lists(meaning.labels for meaning in meanings)
        self._alone = Labels.from_lists(meaning.alone for meaning in meanings)

    @property
    def classnames(self) -> list[str]:
        """The class names; a label is an index into them."""
        return self.vocabulary.classnames

    def label(self, captions: Sequence[str]) -> Labels:
        """The classes of each caption.

        Args:
            captions: B texts.

        Returns:
            Labels of the B captions, each ascending and without repetition.
        """
        blocks = [self._label_block(captions[i : i + _BLOCK]) for i in range(0, len(captions), _BLOCK)]
        return blocks[0] if len(blocks) == 1 else Labels.concatenate(blocks)

    def matched(self, folded: bytes) -> list[bytes]:
        """The phrases found in a folded text, left to right, to see why a caption has its labels."""
        keys = list(self.phrases)
        return [keys[found[0]] for found in self._search(folded)]

    def _label_block(self, captions: Sequence[str]) -> Labels:
        haystack = fold_block(captions)
        found = self._search(haystack)
        flat = np.fromiter(chain.from_iterable(found), np.int64, 3 * len(found)).reshape(-1, 3)
        phrase, start, end = flat[:, 0], flat[:, 1], flat[:, 2]
        borders = np.flatnonzero(np.frombuffer(haystack, np.uint8) == CAPTION_END[0])
        caption = np.searchsorted(borders, start)
        keys = self._keys(self._sure, phrase, caption)
        nouns = np.flatnonzero(self._alone.counts()[phrase])
        nouns = nouns[[stands_alone(haystack, int(end[i])) for i in nouns]] if len(nouns) else nouns
        keys = _sorted_unique(np.concatenate([keys, self._keys(self._alone, phrase[nouns], caption[nouns])]))
        n_classes = len(self.vocabulary.entries)
        offsets = np.searchsorted(keys, np.arange(len(captions) + 1, dtype=np.int64) * n_classes)
        return Labels((keys % n_classes).astype(np.int32), offsets.astype(np.int64))

    def _keys(self, meaning: Labels, phrase: NDArray[np.int64], caption: NDArray[np.int64]) -> NDArray[np.int64]:
        """One number per (caption, class) pair that the matches say, so that sorting orders both."""
        counts = meaning.counts()[phrase]
        begin = np.repeat(meaning.offsets[phrase] - np.cumsum(counts) + counts, counts)
        values = meaning.values[begin + np.arange(len(begin))]
        keys: NDArray[np.int64] = np.repeat(caption, counts) * len(self.vocabulary.entries) + values
        return keys


def _sorted_unique(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    # np.unique hashes since NumPy 2.3, which is slower here than to sort numbers that are nearly sorted.
    keys.sort()
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys

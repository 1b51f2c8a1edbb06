"""Captions as a run's source: a labelled corpus and template sentences, encoded once."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipprompt.captions.corpus import Corpus, corpus_from_rows, load_corpus
from clipprompt.config import DataConfig, RunConfig
from clipprompt.errors import UserError
from clipprompt.learners import Learner
from clipprompt.mini.captions import caption_split
from clipprompt.printable import counted
from clipprompt.training.data import caption_data, split_validation
from clipprompt.training.run_folder import RunFolder
from clipprompt.training.source import Prepared, Say
from clipprompt.training.templates import load_templates, template_sentences

DRAWN = "mini"
"""The corpus of captions of the mini world, labelled with VOC's classes, which needs no file."""
GIVE_CORPUS = "give --dataset corpus.parquet (made by `clipprompt corpus build`)"


@dataclass(frozen=True)
class Sentences:
    """Labelled sentences to train on: captions first, then template sentences.

    Attributes:
        texts: N sentences.
        labels: N lists of class indices.
        groups: for each caption, what it must not be parted from in a split: its image, or itself.
        classnames: C names.
    """

    texts: list[str]
    labels: list[list[int]]
    groups: list[Hashable]
    classnames: tuple[str, ...]

    def __len__(self) -> int:
        """N."""
        return len(self.texts)

    def sample(self, n_samples: int, seed: int) -> Sentences:
        """Some of the sentences, drawn at random, in their order."""
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n_samples]).tolist()
        return replace(
            self,
            texts=[self.texts[i] for i in chosen],
            labels=[self.labels[i] for i in chosen],
            groups=[self.groups[i] for i in chosen if i < len(self.groups)],
        )

    def with_classes(self, classnames: Sequence[str]) -> Sentences:
        """The sentences that name one of some classes, labelled with these alone; those of no class stay.

        Args:
            classnames: some of the class names, in the order and the spelling that labels are to have.
        """
        column = {plain(name): number for number, name in enumerate(self.classnames)}
        place = {column[plain(name)]: number for number, name in enumerate(classnames)}
        labels = [sorted(place[label] for label in found if label in place) for found in self.labels]
        kept = [i for i, (before, after) in enumerate(zip(self.labels, labels, strict=True)) if after or not before]
        return Sentences(
            [self.texts[i] for i in kept],
            [labels[i] for i in kept],
            [self.groups[i] for i in kept if i < len(self.groups)],
            tuple(classnames),
        )

    def n_trained_on(self, config: RunConfig) -> int:
        """Sentences that are left where a part of the captions is held out."""
        if config.train.select == "last":
            return len(self)
        return len(self) - len(split_validation(self.groups, config.train.val_fraction, config.train.seed)[1])

    def fingerprint(self) -> str:
        """A short hash of everything that is learnt from."""
        text = json.dumps([self.classnames, self.texts, self.labels], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def prepare(
        self, learner: Learner, config: RunConfig, run: RunFolder, tell: Say, stop: Callable[[], None]
    ) -> Prepared:
        """Encodes the sentences; those for validation are held out of the captions."""
        data = caption_data(learner, self.texts, self.labels, config.data, run.cache, stop)
        validation = None
        if config.train.select != "last":
            kept, held = split_validation(self.groups, config.train.val_fraction, config.train.seed)
            # Templates stand behind the captions; they are trained on and never held out.
            templates = np.arange(len(self.groups), len(self.texts))
            data, validation = data.subset(np.concatenate([kept, templates])), data.subset(held)
        tell(
            f"{config.method}: {counted(len(data), 'sentence')}, {counted(len(self.classnames), 'class')}, "
            f"{counted(config.train.epochs, 'epoch')}"
        )
        return Prepared(data, validation)


def plain(name: str) -> str:
    """A class name as captions and pictures are compared by it: ``dining table`` is VOC's ``diningtable``."""
    return "".join(name.replace("_", " ").casefold().split())


def load_sentences(options: DataConfig) -> Sentences:
    """The labelled sentences that ``options`` name.

    Raises:
        UserError: if there is no corpus, it cannot be read, or none of its captions has a class.
    """
    corpus = corpus_of(options)
    found = [labels.tolist() for labels in corpus.labels]
    if not any(found):
        raise UserError(f"{options.corpus}: none of its {len(corpus)} captions names a class")
    rows = zip(corpus.captions, corpus.image_ids, found, strict=True)
    kept = [row for row in rows if options.keep_empty or row[2]]
    texts, labels = [caption for caption, _, _ in kept], [names for _, _, names in kept]
    groups: list[Hashable] = [caption if image is None else ("image", image) for caption, image, _ in kept]
    extra, extra_labels = template_sentences(load_templates(options.templates), corpus.classnames)
    return Sentences(texts + extra, labels + extra_labels, groups, tuple(corpus.classnames))


def corpus_of(options: DataConfig) -> Corpus:
    """The corpus that ``options`` name, read or drawn.

    Raises:
        UserError: if there is none, or it cannot be read.
    """
    if options.corpus is None:
        raise UserError(f"no training data: {GIVE_CORPUS}")
    return _drawn_corpus(options.n_captions) if options.corpus == DRAWN else load_corpus(options.corpus)


@functools.lru_cache(maxsize=1)  # seconds, which the jobs of a sweep need not spend again
def _drawn_corpus(n_captions: int) -> Corpus:
    """Captions of scenes that are never drawn, as `clipprompt corpus build` labels them."""
    captions = (caption for caption, _ in caption_split("captions", n_captions))
    return corpus_from_rows(((str(n), None, caption) for n, caption in enumerate(captions)), "voc2007")

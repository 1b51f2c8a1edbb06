"""Captions and labelled pictures as one run's source: batches of captions and of pictures in turn.

    captions --encoded once------------------> batch 1   batch 3   batch 5  …
    pictures --encoded once, or fresh views-->     batch 2   batch 4   batch 6  …

An epoch is as many batches of each as the larger of the two has; the smaller one goes round again, each round in an
order and in views of its own. Held out to select an epoch by are pictures, never captions: a prompt is for pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Any, ClassVar

from torch import Tensor

from clipprompt.config import RunConfig
from clipprompt.errors import UserError
from clipprompt.learners import Learner
from clipprompt.training.data import WHOLE, Share, TrainingData, count_batches
from clipprompt.training.labelled_images import LabelledImages
from clipprompt.training.run_folder import RunFolder
from clipprompt.training.sentences import Sentences, plain
from clipprompt.training.source import Prepared, Say


@dataclass(frozen=True)
class CaptionsAndPictures:
    """A corpus and a labelled set of the same classes.

    Attributes:
        sentences: labelled captions, and template sentences.
        pictures: labelled pictures, and those to select by.
    """

    sentences: Sentences
    pictures: LabelledImages

    @property
    def classnames(self) -> tuple[str, ...]:
        """C names, in the order of the labels."""
        return self.sentences.classnames

    def __len__(self) -> int:
        """Sentences and pictures."""
        return len(self.sentences) + len(self.pictures)

    def sample(self, n_samples: int, seed: int) -> CaptionsAndPictures:
        """Some of each, drawn at random."""
        return CaptionsAndPictures(self.sentences.sample(n_samples, seed), self.pictures.sample(n_samples, seed))

    def n_trained_on(self, config: RunConfig) -> int:
        """Sentences, and the pictures that are left where a part of them is held out."""
        return len(self.sentences) + self.pictures.n_trained_on(config)

    def n_batches(self, config: RunConfig) -> int:
        """Batches of an epoch."""
        sizes = (len(self.sentences), self.pictures.n_trained_on(config))
        return 2 * max(count_batches(size, config.train.batch_size) for size in sizes)

    def fingerprint(self) -> str:
        """That of the captions, then that of the pictures."""
        return f"{self.sentences.fingerprint()}+{self.pictures.fingerprint()}"

    def prepare(
        self, learner: Learner, config: RunConfig, run: RunFolder, tell: Say, stop: Callable[[], None]
    ) -> Prepared:
        """Encodes what can be encoded once; nothing is held out of the captions."""
        captions = self.sentences.prepare(learner, without_selection(config), run, tell, stop)
        return in_turn(learner, captions, self.pictures.prepare(learner, config, run, tell, stop))


@dataclass(frozen=True)
class Both:
    """Training data whose batches are of captions and of pictures in turn; all of them hold features.

    Attributes:
        learner: that encodes fresh views.
        captions: encoded captions.
        pictures: labelled pictures.
    """

    is_encoded: ClassVar[bool] = True
    learner: Learner
    captions: TrainingData
    pictures: TrainingData

    def __len__(self) -> int:
        return len(self.captions) + len(self.pictures)

    def n_batches(self, batch_size: int) -> int:
        """Batches of an epoch: as many of each as the larger has."""
        return 2 * self._n_each(batch_size)

    def batches(
        self, epoch: int, seed: int, batch_size: int, start: int = 0, share: Share = WHOLE
    ) -> Iterator[tuple[Any, Tensor]]:
        """A share of the batches of an epoch, from a batch on: captions first."""
        parts = (self.captions, self.pictures)
        streams = [
            self._rounds(part, epoch, seed, batch_size, (start + 1 - place) // 2, share)
            for place, part in enumerate(parts)
        ]
        ordered = streams if start % 2 == 0 else streams[::-1]
        yield from (batch for batch in chain.from_iterable(zip_longest(*ordered)) if batch is not None)

    def in_order(self, batch_size: int) -> Iterator[tuple[Any, Tensor]]:
        """All captions, then all pictures."""
        for part in (self.captions, self.pictures):
            yield from self._encoded(part, part.in_order(batch_size))

    def _n_each(self, batch_size: int) -> int:
        return max(self.captions.n_batches(batch_size), self.pictures.n_batches(batch_size))

    def _rounds(
        self, part: TrainingData, epoch: int, seed: int, batch_size: int, start: int, share: Share
    ) -> Iterator[tuple[Any, Tensor]]:
        """The batches of a part from one on, round after round; a round is an epoch of the part alone."""
        n_own, n_each = part.n_batches(batch_size), self._n_each(batch_size)
        n_rounds = -(-n_each // n_own)
        for number in range(start // n_own, n_rounds):
            first = max(0, start - number * n_own)
            stream = part.batches(epoch * n_rounds + number, seed, batch_size, first, share)
            yield from islice(self._encoded(part, stream), n_each - number * n_own - first)

    def _encoded(self, part: TrainingData, batches: Iterator[tuple[Any, Tensor]]) -> Iterator[tuple[Any, Tensor]]:
        for inputs, labels in batches:
            yield (inputs if part.is_encoded else self.learner.encode_images(inputs)), labels


def in_turn(learner: Learner, captions: Prepared, pictures: Prepared) -> Prepared:
    """What training takes of both, to be learnt from in turn; the pictures' held-out part selects."""
    data = Both(learner, captions.data, pictures.data)
    return Prepared(data, pictures.validation, captions.skipped + pictures.skipped)


def without_selection(config: RunConfig) -> RunConfig:
    """The configuration of a run from captions, which are all learnt from where pictures select."""
    return config.model_copy(update={"train": config.train.model_copy(update={"select": "last"})})


def learn_together(sentences: Sentences, pictures: LabelledImages, config: RunConfig) -> CaptionsAndPictures:
    """Captions and pictures of the same classes, in the order and under the names that the pictures have.

    Where a part of the classes is learnt, captions are labelled with this part alone.

    Raises:
        UserError: naming a class that is only in one of them.
    """
    of_corpus, of_pictures = ({plain(name): name for name in one.classnames} for one in (sentences, pictures))
    lacking = [("dataset", "corpus", name) for key, name in of_pictures.items() if key not in of_corpus]
    if config.data.subset == "all":
        lacking += [("corpus", "dataset", name) for key, name in of_corpus.items() if key not in of_pictures]
    for one, other, name in lacking:
        raise UserError(
            f"data.corpus={config.data.corpus} and data.dataset={config.data.dataset} must have the same classes, but "
            f"{name!r} is in the {one} and not in the {other}; build the corpus with --classes of the pictures"
        )
    return CaptionsAndPictures(sentences.with_classes(pictures.classnames), pictures)

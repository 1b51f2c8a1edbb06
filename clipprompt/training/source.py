"""What a run learns from, before it is encoded: a corpus of captions or a labelled set of images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from clipprompt.config import RunConfig
from clipprompt.learners import Learner
from clipprompt.training.data import TrainingData
from clipprompt.training.run_folder import RunFolder

Say = Callable[[str], None]


class Prepared(NamedTuple):
    """What training takes.

    Attributes:
        data: to train on.
        validation: held out, where the configuration selects an epoch.
        skipped: a line for each input that could not be read.
    """

    data: TrainingData
    validation: TrainingData | None
    skipped: tuple[str, ...] = ()


class Source(Protocol):
    """A corpus or a labelled set."""

    @property
    def classnames(self) -> tuple[str, ...]:
        """C names, in the order of the labels."""

    def __len__(self) -> int:
        """N samples."""

    def sample(self, n_samples: int, seed: int) -> Source:
        """Some of it, drawn at random, to measure with."""

    def n_trained_on(self, config: RunConfig) -> int:
        """Samples that are left where a part is held out to select an epoch by; all of them where none is."""

    def fingerprint(self) -> str:
        """A short hash of everything that is learnt from."""

    def prepare(
        self, learner: Learner, config: RunConfig, run: RunFolder, tell: Say, stop: Callable[[], None]
    ) -> Prepared:
        """Encodes what can be encoded once.

        Args:
            learner: that will be trained.
            config: of the run.
            run: its folder, for caches.
            tell: takes messages for people.
            stop: called often; may raise to stop.
        """

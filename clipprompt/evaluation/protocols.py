"""Protocols as lists of jobs: what is learnt from which pictures, and which pictures it is tested on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Test:
    """Some classes of a set, to be told apart.

    Attributes:
        dataset: its name.
        subset: all, base or novel classes.
        part: test, or val where settings are being chosen.
    """

    dataset: str
    subset: str = "all"
    part: str = "test"


@dataclass(frozen=True)
class Job:
    """One run and its tests; a folder of its own.

    Attributes:
        protocol: that it belongs to.
        method: name of the learner.
        dataset: to learn from.
        subset: of its classes.
        shots: pictures of each class; None for all.
        class_split: 0 for the halves of papers, otherwise the seed of another halving.
        seed: of everything that is drawn.
        settings: ``key=value`` over the method's own configuration.
        tests: what it is tested on.
    """

    protocol: str
    method: str
    dataset: str
    subset: str
    shots: int | None
    class_split: int
    seed: int
    settings: tuple[str, ...]
    tests: tuple[Test, ...]

    @property
    def name(self) -> str:
        """Its folder below the sweep's, such as ``coop/caltech101/base-16shots-seed1``."""
        shots = "" if self.shots is None else f"-{self.shots}shots"
        split = f"-split{self.class_split}" if self.class_split else ""
        return f"{self.method}/{self.dataset}/{self.subset}{shots}{split}-seed{self.seed}"

"""What a protocol comes down to: a run with the tests of what it learnt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clipprompt.config import RunConfig, load_config
from clipprompt.evaluation._test_sets import is_drawn, is_official


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
    __test__ = False  # what pytest asks of whatever is called so


@dataclass(frozen=True)
class Job:
    """One run and its tests; a folder of its own.

    Attributes:
        protocol: that it belongs to.
        method: name of the learner.
        dataset: to learn from; where nothing is learnt, the one that is tested on.
        subset: of its classes.
        shots: pictures of each class; None for all, and where nothing is learnt.
        class_split: 0 for the halves of papers, otherwise the seed of another halving.
        seed: of everything that is drawn; None where nothing is learnt.
        settings: ``key=value`` over the method's own configuration.
        tests: what it is tested on.
        multilabel: whether pictures have several classes.
        known: labels that are known: a share, or ``single-positive``; None for all.
        learns_from: images, captions or both; a method has one by itself.
        members: names of the jobs whose learners together are this one, an ensemble; none where it is a learner.
    """

    protocol: str
    method: str
    dataset: str
    subset: str
    shots: int | None
    class_split: int
    seed: int | None
    settings: tuple[str, ...]
    tests: tuple[Test, ...]
    multilabel: bool = False
    known: float | str | None = None
    learns_from: Literal["images", "captions", "both"] = "images"
    members: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its folder below the sweep's, such as ``coop/caltech101/base-16shots-seed1``."""
        shots = "" if self.shots is None else f"-{self.shots}shots"
        split = f"-split{self.class_split}" if self.class_split else ""
        seed = "" if self.seed is None else f"-seed{self.seed}"
        return f"{self.method}/{_folder_name(self.dataset)}/{self.subset}{shots}{split}{seed}"

    @property
    def learns(self) -> bool:
        """Whether there is anything to train."""
        return self.seed is not None

    def config(self, root: str | Path | None = None, settings: Iterable[str] = ()) -> RunConfig:
        """The configuration of its run.

        Args:
            root: folder of named sets.
            settings: that change where and how it runs, and no number: ``backbone.device=cuda:1``, ``data.workers=2``.

        Raises:
            UserError: if a setting is wrong.
        """
        return load_config(self.method, [*self.settings, *self._data(root), *settings])

    def _data(self, root: str | Path | None) -> Iterator[str]:
        if not self.learns:
            return
        yield f"data.dataset={json.dumps(self.dataset, ensure_ascii=False)}"
        if root is not None and is_official(self.dataset):
            yield f"data.root={json.dumps(str(root), ensure_ascii=False)}"
        yield "data.parts=true"  # of one's own data too, nothing is learnt from what is tested on
        yield f"data.shots={json.dumps(self.shots)}"
        yield f"data.subset={self.subset}"
        yield f"data.class_split={self.class_split}"
        yield f"train.seed={self.seed}"


def _folder_name(dataset: str) -> str:
    """A set as a part of a path: its name, or the name of its folder or file."""
    return dataset if is_official(dataset) or is_drawn(dataset) else Path(dataset).absolute().stem

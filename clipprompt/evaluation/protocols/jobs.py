"""What a protocol comes down to: a run with the tests of what it learnt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clipprompt.config import RunConfig, load_config
from clipprompt.evaluation.protocols.methods import spell
from clipprompt.evaluation.protocols.multilabel_sets import training_spec
from clipprompt.evaluation.protocols.one_class_sets import folder_name, is_official


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
        method: name of the learner; of an ensemble those of its members, as :class:`Method` spells them.
        dataset: to learn from; where no picture is learnt from, the one that is tested on.
        subset: of its classes.
        shots: pictures of each class; None for all, and where none is learnt from.
        class_split: 0 for the halves of papers, otherwise the seed of another halving.
        seed: of everything that is drawn; None where nothing is learnt.
        settings: ``key=value`` over the method's own configuration; none of an ensemble.
        tests: what it is tested on.
        multilabel: whether pictures have several classes.
        known: labels that are known: a share, or ``single-positive``; None for all.
        learns_from: images, captions or both; of an ensemble what its members learn from.
        members: names of the jobs whose learners together are this one, an ensemble; none where it is a learner.
        share: part of the pictures of each class that the seed draws; None for all.
        with_val: whether the part val is learnt from too.
        variant: name of the learner with such settings in its protocol; empty where it has none.
        point: of a grid the settings that are tried, which ``settings`` end with; none where nothing is being chosen.
        grid: names of the jobs that try settings, of which this one takes the best; none where settings are given.
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
    share: float | None = None
    with_val: bool = False
    variant: str = ""
    point: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its folder below the sweep's, such as ``coop/caltech101/base-16shots-seed1``."""
        shots = "" if self.shots is None else f"-{self.shots}shots"
        known = "" if self.known is None else f"-{self.known}" if isinstance(self.known, str) else f"-known{self.known}"
        split = f"-split{self.class_split}" if self.class_split else ""
        seed = "" if self.seed is None else f"-seed{self.seed}"
        share = "" if self.share is None else f"-share{self.share}"
        tried = f"-grid/{'-'.join(map(_short, self.point))}" if self.point else ""
        method = self.spelling.replace(":", "-")
        return f"{method}/{folder_name(self.dataset)}/{self.subset}{shots}{known}{share}{split}{seed}{tried}"

    @property
    def spelling(self) -> str:
        """The variant, or the method with what it learns from where that is not its own source; settings go to it."""
        if self.variant:
            return self.variant
        return self.method if self.members or not self.learns else spell(self.method, self.learns_from)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the jobs that are done before it."""
        return self.members + self.grid

    @property
    def learns(self) -> bool:
        """Whether there is anything to train; of an ensemble its members have done that."""
        return self.seed is not None and not self.members

    @property
    def learns_from_pictures(self) -> bool:
        """Whether pictures of ``dataset`` are learnt from, here or by a member."""
        return self.seed is not None and self.learns_from != "captions"

    def config(self, root: str | Path | None = None, settings: Iterable[str] = ()) -> RunConfig:
        """The configuration of its run.

        Args:
            root: folder of named sets.
            settings: that change where and how it runs, and no number: ``backbone.device=cuda:1``, ``data.workers=2``.

        Raises:
            UserError: if a setting is wrong.
            ValueError: of an ensemble, whose members have one each.
        """
        if self.members:
            raise ValueError(f"{self.name} is an ensemble: its members have configurations")
        return load_config(self.method, [*self.settings, *self._data(root), *settings])

    def _data(self, root: str | Path | None) -> Iterator[str]:
        if not self.learns:
            return
        yield f"train.seed={self.seed}"
        if not self.learns_from_pictures:
            return
        yield _setting("data.dataset", self._learnt_from)
        if root is not None and is_official(self.dataset):
            yield _setting("data.root", str(root))
        yield _setting(
            "data.parts", not self.multilabel
        )  # of one's own data too, nothing is learnt from what is tested
        yield _setting("data.shots", self.shots)
        if self.variant:
            yield _setting("data.share", self.share)
            yield _setting("data.with_val", self.with_val)
        if self.multilabel:
            yield _setting("data.known", self.known)
        yield f"data.subset={self.subset}"
        yield f"data.class_split={self.class_split}"

    @property
    def _learnt_from(self) -> str:
        """The set, with the split behind it where pictures have several classes."""
        if not self.multilabel:
            return self.dataset
        is_tested = any(test.dataset == self.dataset for test in self.tests)
        return training_spec(self.dataset, self.tests[0].part, is_tested)


def _short(setting: str) -> str:
    """``train.lr=0.1`` as ``lr0.1``, for a folder."""
    key, _, value = setting.partition("=")
    return re.sub(r"[^\w.+-]+", "_", f"{key.rpartition('.')[2]}{value.strip(chr(34))}")


def _setting(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value, ensure_ascii=False)}"

"""The jobs of one method: what all jobs of a request have in common, and one job of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clipprompt._yaml import parse_yaml
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols._draws import Draw
from clipprompt.evaluation.protocols._search import Axis, points_of, search_jobs
from clipprompt.evaluation.protocols._settings import check_names, checked_config, settings_of
from clipprompt.evaluation.protocols._yaml import Drawn, Protocol, Search, settings_for
from clipprompt.evaluation.protocols.jobs import Job, Test
from clipprompt.evaluation.protocols.methods import Method
from clipprompt.evaluation.protocols.multilabel_sets import DRAWN
from clipprompt.evaluation.protocols.one_class_sets import hand_written, is_drawn

_BACKBONE = ("name", "backbone.name")
_EPOCHS = ("epochs", "train.epochs")


@dataclass(frozen=True)
class Plan:
    """What all jobs of a request have in common.

    Attributes:
        protocol: that they belong to.
        datasets: that are tested on, and learnt from where there is no source.
        source: set that is learnt from.
        part: that is tested on.
        corpus: of captions, where one is given.
        given: settings of the request.
        searches: whether settings are searched for, where the protocol has a grid.
        axes: of the request, in place of the protocol's.
    """

    protocol: Protocol
    datasets: tuple[str, ...]
    source: str | None
    part: str
    corpus: str | None
    given: Sequence[str]
    searches: bool = True
    axes: Sequence[Axis] = ()

    @property
    def grid(self) -> Sequence[Search]:
        """What is searched for by the protocol's file."""
        return self._own.grid if self.searches else ()

    @property
    def share(self) -> tuple[float, ...] | None:
        """The part of the training pictures where none is asked for; None for all of them."""
        own = self._own
        return (own.share,) if isinstance(own, Drawn) and own.share is not None else None

    @property
    def backbone(self) -> str:
        """Name of the backbone, where a setting for one method alone does not name another."""
        named = [value for key, _, value in (one.partition("=") for one in self.given) if key.strip() in _BACKBONE]
        return str(parse_yaml(named[-1])) if named else self._own.backbone.name

    def jobs(self, method: Method, draws: Iterable[Draw]) -> Iterator[Job]:
        """Those of one method, by set and draw; of an ensemble its members' are others.

        Raises:
            UserError: if it learns from captions, and there are none.
        """
        distinct = dict.fromkeys(draw.seen_by(method) for draw in draws)
        for dataset, tested in self._sets(method):
            points = dict[tuple[str, ...], list[tuple[str, ...]]]()
            for draw in distinct:
                job = self._job(method, dataset, draw, tested)
                if job.settings not in points:
                    points[job.settings] = self._points(method, job)
                yield from search_jobs(job, points[job.settings], self.protocol.seeds[0])

    def _points(self, method: Method, job: Job) -> list[tuple[str, ...]]:
        """What is tried before a job; nothing where it is given what to take."""
        if not self.searches or not job.learns or not (self.grid or self.axes):
            return []
        return points_of(method, self.grid, self.axes, checked_config(job, self.given), self.given)

    @property
    def _own(self) -> Protocol | Drawn:
        """Where backbone, settings and grid come from."""
        sets = self.datasets if self.source is None else (*self.datasets, self.source)
        return self.protocol.drawn if all(map(is_drawn, sets)) else self.protocol

    def _sets(self, method: Method) -> list[tuple[str, Sequence[str]]]:
        """Sets that are learnt from, each with those that are tested on."""
        # Without pictures nothing ties a method to a source, and hand-written sentences go by the set that is tested.
        if self.source is None or method.learns_from in (None, "captions"):
            return [(one, [one]) for one in self.datasets]
        return [(self.source, self.datasets)]

    def _job(self, method: Method, dataset: str, draw: Draw, tested: Sequence[str]) -> Job:
        learns_pictures = method.learns_from in ("images", "both")
        tests = tuple(Test(name, classes, self.part) for name in tested for classes in self.protocol.tests)
        return Job(
            protocol=self.protocol.name,
            method=method.learner,
            dataset=dataset,
            subset=self.protocol.subset if learns_pictures else "all",
            settings=() if method.members else tuple(self._settings(method, dataset, draw)),
            tests=tests,
            multilabel=self.protocol.multilabel,
            learns_from=method.learns_from or "images",
            members=tuple(self._member(member, draw, tested).name for member in method.members),
            with_val=self.protocol.with_val and self.part == "test",
            variant=method.spelling if method.variant_of else "",
            **draw._asdict(),
        )

    def _member(self, method: Method, draw: Draw, tested: Sequence[str]) -> Job:
        """The member's job that is tested on the same."""
        dataset = next(dataset for dataset, sets in self._sets(method) if set(sets) >= set(tested))
        return self._job(method, dataset, draw.seen_by(method), tested)

    def _settings(self, method: Method, dataset: str, draw: Draw) -> Iterator[str]:
        own = self._own
        given = self._given(method)
        names_backbone = any(setting.partition("=")[0].strip() in _BACKBONE for setting in given)
        yield from () if names_backbone else own.backbone.settings()
        pictures = self.protocol.pictures if method.learns_from in ("images", "both") else ()
        named = dict.fromkeys((method.family, method.spelling))
        found = [rule for name in named for rule in own.settings.get(name, ())]
        rules = settings_for([*pictures, *found], dataset, draw.shots, draw.known)
        for setting in (*method.settings, *rules, *given):
            yield setting.replace("{dataset}", hand_written(dataset))
        if method.learns_from in ("captions", "both"):
            yield f"data.corpus={json.dumps(self._corpus(method, dataset), ensure_ascii=False)}"

    def _given(self, method: Method) -> list[str]:
        """Settings of the request for a method; epochs for all are not for one whose name means none."""
        has_epochs = "train.epochs=0" not in method.settings
        given = (one for one in self.given if has_epochs or one.partition("=")[0].strip() not in _EPOCHS)
        own = settings_of(method.spelling, list(given))
        check_names(method, own)
        return own

    def _corpus(self, method: Method, dataset: str) -> str:
        corpus = self.corpus or (DRAWN if is_drawn(dataset) else None)
        if corpus is None:
            raise UserError(
                f"{method.spelling} learns from captions, and {dataset} brings none: give --captions FILE.parquet, "
                "as `clipprompt corpus build` writes it, or leave the method out"
            )
        return corpus

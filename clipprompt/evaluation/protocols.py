"""Protocols as lists of jobs: what is learnt from which pictures, and which pictures it is tested on.

configs/protocols/NAME.yaml + methods, sets, seeds, shots ──plan_jobs──> [Job] ──Job.config──> a run's configuration

A job is a value: what decides its numbers is in it, and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from clipprompt.config import RunConfig, load_config
from clipprompt.datasets.classification.sets import PARTS
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation._protocol_yaml import (
    Protocol,
    list_protocols,
    load_protocol,
    read_protocol,
    settings_for,
)
from clipprompt.evaluation._test_sets import hand_written, is_drawn, is_official, resolve_datasets
from clipprompt.learners import learner_class, list_learners

__all__ = ["Job", "Protocol", "Test", "list_protocols", "load_protocol", "plan_jobs", "read_protocol"]


N = TypeVar("N", int, int | None)


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


def plan_jobs(
    protocol: Protocol,
    methods: Sequence[str],
    datasets: Sequence[str] = ("all",),
    *,
    seeds: Sequence[int] | None = None,
    shots: Sequence[int | None] | None = None,
    class_splits: Sequence[int] = (0,),
    settings: Sequence[str] = (),
    source: str | None = None,
    part: str = "test",
) -> list[Job]:
    """The jobs of a protocol: by method, then set, shots, class split and seed.

    Args:
        protocol: of :func:`load_protocol`.
        methods: names of learners, or ``all`` for every one that learns from images, and ``zero_shot``.
        datasets: that are tested on, and learnt from where the protocol has no source; ``all`` are the protocol's.
        seeds: None for the protocol's. A learner without parameters has one job, not one for each.
        shots: None for the protocol's; a None among them is all pictures.
        class_splits: halvings of the classes; each makes a job.
        settings: ``key=value`` for all methods, or ``METHOD:key=value`` for one, over those of the protocol.
        source: set that is learnt from in place of the protocol's source.
        part: test, or val to choose settings by.

    Raises:
        UserError: for an unknown name, with the nearest suggested; for what the protocol has no use for; for a setting
            that a method does not know; and for a method that learns from captions.
    """
    if part not in PARTS[1:]:
        raise UserError(f"part {part!r} cannot be tested on{nearest(part, PARTS[1:])}; choose val or test")
    sets = resolve_datasets(datasets, protocol.datasets)
    made = _Plan(protocol, sets, settings, part, _source(protocol, sets, source))
    names = _methods(protocol, methods)
    made.check_settings(names)
    draws = _draws(protocol, seeds, shots, class_splits)
    jobs = [job for method in names for job in made.jobs(method, *draws)]
    for job in {(job.method, job.settings): job for job in jobs}.values():
        made.check(job)
    if twice := [name for name, n in Counter(job.name for job in jobs).items() if n > 1]:
        raise UserError(f"two sets of pictures would share the folder {twice[0]}; rename one of their folders")
    return jobs


@dataclass(frozen=True)
class _Plan:
    """What all jobs of a protocol have in common."""

    protocol: Protocol
    datasets: tuple[str, ...]
    given: Sequence[str]
    part: str
    source: str | None

    def jobs(
        self, method: str, seeds: Sequence[int], shots: Sequence[int | None], class_splits: Sequence[int]
    ) -> Iterator[Job]:
        """Those of one method."""
        if not _learns(method):  # of any set its own: nothing ties it to a source, and its sentences go by the set
            for dataset in self.datasets:
                for split in class_splits:
                    yield self._job(method, dataset, "all", None, split, None, (dataset,))
            return
        for dataset in self.datasets if self.source is None else (self.source,):
            tested = (dataset,) if self.source is None else self.datasets
            for n in shots:
                for split in class_splits:
                    for seed in seeds:
                        yield self._job(method, dataset, self.protocol.subset, n, split, seed, tested)

    def check_settings(self, methods: Sequence[str]) -> None:
        """Refuses a setting that is meant for a method which is not there."""
        for setting in self.given:
            method = _addressee(setting)
            if method is not None and method not in methods:
                raise UserError(
                    f"setting {setting!r} is for method {method!r}{nearest(method, methods)}, which is not run"
                )

    def check(self, job: Job) -> None:
        """Refuses a job whose settings its method does not take."""
        try:
            job.config()
        except UserError as error:
            alone = f"; METHOD:KEY=VALUE, as in {job.method}:train.lr=0.002, is for one method" if self.given else ""
            raise UserError(f"{job.method}: {error}{alone}") from error

    def _job(
        self,
        method: str,
        dataset: str,
        subset: str,
        shots: int | None,
        class_split: int,
        seed: int | None,
        tested: Sequence[str],
    ) -> Job:
        tests = tuple(Test(name, tests, self.part) for name in tested for tests in self.protocol.tests)
        job = Job(self.protocol.name, method, dataset, subset, shots, class_split, seed, (), tests)
        return replace(job, settings=tuple(self._settings(method, dataset, shots)))

    def _settings(self, method: str, dataset: str, shots: int | None) -> Iterator[str]:
        own = self.protocol.drawn if all(map(is_drawn, self.datasets)) else self.protocol
        given = [setting.removeprefix(f"{method}:") for setting in self.given if _addressee(setting) in (None, method)]
        names_backbone = any(setting.partition("=")[0].strip() in ("name", "backbone.name") for setting in given)
        settings = [*settings_for(own.settings, method, dataset, shots), *given]
        yield from () if names_backbone else own.backbone.settings()
        yield from (setting.replace("{dataset}", hand_written(dataset)) for setting in settings)


def _addressee(setting: str) -> str | None:
    """The method that a setting such as ``coop:train.lr=0.002`` is for; None for all."""
    method, colon, _ = setting.partition("=")[0].partition(":")
    return method.strip() if colon else None


def _methods(protocol: Protocol, given: Sequence[str]) -> list[str]:
    known = [name for name in list_learners() if learner_class(name).trains_on == "images"]
    usable = known if protocol.learns else [name for name in known if not _learns(name)]
    names = list(dict.fromkeys(name for one in given for name in (usable if one == "all" else [one])))
    if not names:
        raise UserError(f"no method is given; choose among {', '.join(usable)}, or all")
    for name in names:
        if learner_class(name).trains_on == "captions":
            raise UserError(f"{name} learns from captions, and {protocol.name} has only pictures; leave it out")
        if name not in usable:
            raise UserError(f"{name} learns, and in {protocol.name} nothing is learnt; choose {' or '.join(usable)}")
    return names


def _learns(method: str) -> bool:
    """Whether a method has anything to train; what has not, has no epochs in its own configuration."""
    return load_config(method).train.epochs > 0


def _source(protocol: Protocol, datasets: Sequence[str], given: str | None) -> str | None:
    if given is not None and protocol.source is None:
        raise UserError(f"--source {given} has no use in {protocol.name}, where each set is learnt from itself")
    if given is not None:
        return resolve_datasets([given], protocol.datasets)[0]
    drawn = protocol.source is not None and all(map(is_drawn, datasets))
    return (protocol.drawn.source or protocol.source) if drawn else protocol.source


def _draws(
    protocol: Protocol, seeds: Sequence[int] | None, shots: Sequence[int | None] | None, class_splits: Sequence[int]
) -> tuple[list[int], list[int | None], list[int]]:
    """Seeds, shots and class splits, each once and in order."""
    if shots is not None and not protocol.learns:
        raise UserError(f"--shots has no use in {protocol.name}, where nothing is learnt")
    if any(class_splits) and not protocol.halves_classes:
        raise UserError(f"--class-splits has no use in {protocol.name}, where all classes are learnt and tested")
    splits = _checked("class split", class_splits, 0)
    if not protocol.learns:
        return [], [], splits
    return (
        _checked("seed", protocol.seeds if seeds is None else seeds, 0),
        _checked("shots", protocol.shots if shots is None else shots, 1),
        splits,
    )


def _checked(name: str, numbers: Sequence[N], least: int) -> list[N]:
    """Numbers, each once."""
    if not numbers:
        raise UserError(f"no {name} is given; give {least} or more")
    if low := [number for number in numbers if number is not None and number < least]:
        raise UserError(f"{name} {low[0]} is too low; give {least} or more")
    return list(dict.fromkeys(numbers))


def _folder_name(dataset: str) -> str:
    """A set as a part of a path: its name, or the name of its folder or file."""
    return dataset if is_official(dataset) or is_drawn(dataset) else Path(dataset).absolute().stem

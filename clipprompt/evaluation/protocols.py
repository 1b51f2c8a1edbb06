"""Protocols as lists of jobs: what is learnt from which pictures, and which pictures it is tested on.

    configs/protocols/NAME.yaml + methods, sets, seeds, shots ──plan_jobs──> [Job] ──Job.config──> a run's configuration

A job is a value: what decides its numbers is in it, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, TypeVar

from clipprompt.config import load_config
from clipprompt.datasets.classification.sets import PARTS
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation._protocol_yaml import (
    Protocol,
    list_protocols,
    load_protocol,
    read_protocol,
    settings_for,
)
from clipprompt.evaluation._test_sets import hand_written, is_drawn, resolve_datasets
from clipprompt.evaluation.jobs import Job, Test
from clipprompt.learners import learner_class, list_learners

__all__ = ["Job", "Protocol", "Test", "list_protocols", "load_protocol", "plan_jobs", "read_protocol", "settings_of"]

N = TypeVar("N", int, int | None)


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
    names = _methods(protocol, methods)
    sets = resolve_datasets(datasets, protocol.datasets)
    plan = _Plan(protocol, sets, _source(protocol, sets, source), part, settings)
    _check_addressees(settings, names)
    draws = _draws(protocol, seeds, shots, class_splits)
    jobs = [job for method in names for job in plan.jobs(method, draws)]
    for job in {(job.method, job.settings): job for job in jobs}.values():
        _check_settings(job, settings)
    if twice := [name for name, n in Counter(job.name for job in jobs).items() if n > 1]:
        raise UserError(f"two sets of pictures would share the folder {twice[0]}; rename one of their folders")
    return jobs


class _Draw(NamedTuple):
    """See :class:`Job`."""

    shots: int | None
    class_split: int
    seed: int | None


@dataclass(frozen=True)
class _Plan:
    """What all jobs of a request have in common."""

    protocol: Protocol
    datasets: tuple[str, ...]
    source: str | None
    part: str
    given: Sequence[str]

    def jobs(self, method: str, draws: Sequence[_Draw]) -> Iterator[Job]:
        """Those of one method."""
        subset = self.protocol.subset
        if not _learns(method):  # nothing ties it to a source, and its sentences go by the set that is tested
            draws = list(dict.fromkeys(_Draw(None, draw.class_split, None) for draw in draws))
            yield from (self._job(method, one, "all", draw, [one]) for one in self.datasets for draw in draws)
        elif self.source is None:
            yield from (self._job(method, one, subset, draw, [one]) for one in self.datasets for draw in draws)
        else:
            yield from (self._job(method, self.source, subset, draw, self.datasets) for draw in draws)

    def _job(self, method: str, dataset: str, subset: str, draw: _Draw, tested: Sequence[str]) -> Job:
        return Job(
            protocol=self.protocol.name,
            method=method,
            dataset=dataset,
            subset=subset,
            settings=tuple(self._settings(method, dataset, draw.shots)),
            tests=tuple(Test(name, classes, self.part) for name in tested for classes in self.protocol.tests),
            **draw._asdict(),
        )

    def _settings(self, method: str, dataset: str, shots: int | None) -> Iterator[str]:
        sets = self.datasets if self.source is None else (*self.datasets, self.source)
        own = self.protocol.drawn if all(map(is_drawn, sets)) else self.protocol
        given = settings_of(method, self.given)
        names_backbone = any(setting.partition("=")[0].strip() in ("name", "backbone.name") for setting in given)
        yield from () if names_backbone else own.backbone.settings()
        for setting in (*settings_for(own.settings, method, dataset, shots), *given):
            yield setting.replace("{dataset}", hand_written(dataset))


def _learns(method: str) -> bool:
    """Whether a method has anything to train; what has not, has no epochs in its own configuration."""
    return load_config(method).train.epochs > 0


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


def _source(protocol: Protocol, datasets: Sequence[str], given: str | None) -> str | None:
    if given is not None and protocol.source is None:
        raise UserError(f"--source {given} has no use in {protocol.name}, where each set is learnt from itself")
    if given is not None:
        return resolve_datasets([given], protocol.datasets)[0]
    drawn = protocol.source is not None and all(map(is_drawn, datasets))
    return (protocol.drawn.source or protocol.source) if drawn else protocol.source


def _draws(
    protocol: Protocol, seeds: Sequence[int] | None, shots: Sequence[int | None] | None, class_splits: Sequence[int]
) -> list[_Draw]:
    """By shots, then class split and seed."""
    if shots is not None and not protocol.learns:
        raise UserError(f"--shots has no use in {protocol.name}, where nothing is learnt")
    if any(class_splits) and not protocol.halves_classes:
        raise UserError(f"--class-splits has no use in {protocol.name}, where all classes are learnt and tested")
    splits = _checked("class split", class_splits, 0)
    if not protocol.learns:
        return [_Draw(None, split, None) for split in splits]
    numbers = _checked("shots", protocol.shots if shots is None else shots, 1)
    return [
        _Draw(*one) for one in product(numbers, splits, _checked("seed", protocol.seeds if seeds is None else seeds, 0))
    ]


def _checked(name: str, numbers: Sequence[N], least: int) -> list[N]:
    """Numbers, each once."""
    if not numbers:
        raise UserError(f"no {name} is given; give {least} or more")
    if low := [number for number in numbers if number is not None and number < least]:
        raise UserError(f"{name} {low[0]} is too low; give {least} or more")
    return list(dict.fromkeys(numbers))


def settings_of(method: str, settings: Sequence[str]) -> list[str]:
    """Those that are for a method: the ones for all, and its own without its name."""
    return [setting.removeprefix(f"{method}:") for setting in settings if _addressee(setting) in (None, method)]


def _addressee(setting: str) -> str | None:
    """The method that a setting such as ``coop:train.lr=0.002`` is for; None for all."""
    method, colon, _ = setting.partition("=")[0].partition(":")
    return method.strip() if colon else None


def _check_addressees(settings: Sequence[str], methods: Sequence[str]) -> None:
    for setting in settings:
        method = _addressee(setting)
        if method is not None and method not in methods:
            raise UserError(f"setting {setting!r} is for method {method!r}{nearest(method, methods)}, which is not run")


def _check_settings(job: Job, given: Sequence[str]) -> None:
    """Refuses settings that the method does not take."""
    try:
        job.config()
    except UserError as error:
        alone = f"; METHOD:KEY=VALUE, as in {job.method}:train.lr=0.002, is for one method" if given else ""
        raise UserError(f"{job.method}: {error}{alone}") from error

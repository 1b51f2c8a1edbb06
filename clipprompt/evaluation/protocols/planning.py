"""Protocols as lists of jobs: what is learnt from which pictures or captions, and which pictures it is tested on.

    configs/protocols/NAME.yaml + methods, sets, seeds, shots ──plan_jobs──> [Job] ──Job.config──> a run's configuration

A job is a value: what decides its numbers is in it, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from clipprompt.datasets.classification.sets import PARTS
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.protocols._draws import make_draws
from clipprompt.evaluation.protocols._plan import Plan
from clipprompt.evaluation.protocols._search import check_axes, parse_axis
from clipprompt.evaluation.protocols._settings import check_addressees, checked_config, settings_of
from clipprompt.evaluation.protocols._tuning import check_grid, tuned_learners, without_texts
from clipprompt.evaluation.protocols._yaml import Protocol, list_protocols, load_protocol, read_protocol
from clipprompt.evaluation.protocols.jobs import Job, Test
from clipprompt.evaluation.protocols.methods import Method
from clipprompt.evaluation.protocols.multilabel_sets import (
    DRAWN,
    check_has_parts,
    check_has_pictures,
    check_has_val,
    resolve_multilabel,
)
from clipprompt.evaluation.protocols.one_class_sets import is_drawn, resolve_datasets
from clipprompt.learners import learner_class, list_learners

__all__ = ["Job", "Protocol", "Test", "list_protocols", "load_protocol", "plan_jobs", "read_protocol", "settings_of"]


def plan_jobs(
    protocol: Protocol,
    methods: Sequence[str] = (),
    datasets: Sequence[str] = ("all",),
    *,
    seeds: Sequence[int] | None = None,
    shots: Sequence[int | None] | None = None,
    class_splits: Sequence[int] = (0,),
    known: Sequence[float | str | None] | None = None,
    settings: Sequence[str] = (),
    source: str | None = None,
    corpus: str | None = None,
    part: str = "test",
    shares: Sequence[float] | None = None,
    grid: Sequence[str] = (),
    searches: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> list[Job]:
    """The jobs of a protocol: by method, then set, shots, known labels, class split and seed.

    What needs others to be done, ensembles and what takes the best of a grid, comes last.

    Args:
        protocol: of :func:`load_protocol`.
        methods: as :func:`clipprompt.evaluation.protocols.methods.parse_method` reads them, or ``all`` for every
            learner that the protocol can run as it is, and ``zero_shot``; none for the protocol's. Members of ensembles
            are run too.
        datasets: that are tested on, and learnt from where there is no source; ``all`` are the protocol's.
        seeds: None for the protocol's. A learner without parameters has one job, not one for each; one that learns from
            captions alone has one for each, whatever is drawn of the pictures.
        shots: None for the protocol's; a None among them is all pictures.
        class_splits: halvings of the classes; each makes a job.
        known: shares of the labels that are known, or ``single-positive``; None for the protocol's, and a None among
            them is all labels.
        settings: ``key=value`` for all methods, or ``METHOD:key=value`` for one, over those of the protocol.
        source: set that is learnt from in place of the protocol's source, or of the tested set's own training split.
        corpus: of captions, for what learns from them, or ``mini``; None for the captions of drawn sets.
        part: test, or val to choose settings by.
        shares: parts of the training pictures, each a run, where the protocol has variants; None for all of them.
        grid: ``KEY=V1,V2`` or ``METHOD:KEY=V1,V2``, over what the protocol searches.
        searches: False takes settings as they are, without a grid.
        say: takes a line for people about what is left out.

    Raises:
        UserError: for an unknown name, with the nearest suggested; for what the protocol has no use for; for a setting
            that a method does not know; and for a method that learns from captions where there are none.
    """
    if part not in PARTS[1:]:
        raise UserError(f"part {part!r} cannot be tested on{nearest(part, PARTS[1:])}; choose val or test")
    sets = (resolve_multilabel if protocol.multilabel else resolve_datasets)(datasets, protocol.datasets)
    asked = _methods(protocol, methods, has_captions=corpus is not None or all(map(is_drawn, sets)))
    learners = list(dict.fromkeys(learner for method in asked for learner in method.learners))
    axes = [parse_axis(one) for one in grid]
    source = _source(protocol, sets, source)
    plan = Plan(protocol, sets, source, part, _corpus(protocol, learners, corpus), settings, searches, axes)
    check_grid(plan)
    _check_parts(plan, learners)
    check_addressees(settings, [method.spelling for method in learners])
    draws = make_draws(protocol, seeds, shots, class_splits, known, shares or (None if shots else plan.share))
    if protocol.variants:
        learners = without_texts(plan, learners, by_name={*methods} - {"all"}, say=say)
        check_axes(axes, plan.grid, learners)
    ensembles = [method for method in asked if method.members]
    found = dict.fromkeys(job for method in (*learners, *ensembles) for job in plan.jobs(method, draws))
    jobs = sorted(found, key=lambda job: bool(job.needs))
    _check_heads(jobs)
    _check_configs(jobs, settings)
    if twice := [name for name, n in Counter(job.name for job in jobs).items() if n > 1]:
        raise UserError(f"two sets of pictures would share the folder {twice[0]}; rename one of their folders")
    return jobs


def _methods(protocol: Protocol, given: Sequence[str], has_captions: bool) -> list[Method]:
    """What is asked for, each once."""
    known = (
        protocol.methods if protocol.variants else [name for name in list_learners() if name not in tuned_learners()]
    )
    usable = [one for one in map(protocol.parse_method, known) if _refusal(protocol, one) is None]
    every = [one for one in usable if has_captions or one.learns_from != "captions"]
    named = given or (["all"] if protocol.variants else protocol.methods)
    found = (one for name in named for one in (every if name == "all" else [protocol.parse_method(name)]))
    methods, choices = list(dict.fromkeys(found)), ", ".join(one.spelling for one in usable)
    if not methods:
        raise UserError(f"no method is given; choose among {choices}, or all")
    for method in methods:
        if (reason := _refusal(protocol, method)) is not None:
            raise UserError(f"{method.spelling} {reason}; choose among {choices}")
    return methods


def _refusal(protocol: Protocol, method: Method) -> str | None:
    """Why a protocol does not run a method; None where it does."""
    if not protocol.learns and method.learns_from is not None:
        return f"learns, and in {protocol.name} nothing is learnt"
    if not protocol.multilabel and method.members:
        return f"is an ensemble, which is for several classes to a picture, and {protocol.name} has one"
    if not protocol.multilabel and method.learns_from not in (None, "images"):
        return f"learns from captions, and {protocol.name} has only pictures"
    return None


def _source(protocol: Protocol, datasets: Sequence[str], given: str | None) -> str | None:
    if given is not None and protocol.multilabel:
        (source,) = resolve_multilabel([given], [])
        if len(datasets) > 1:
            raise UserError(f"--source {given} goes with one of --datasets, whose classes it must have; name that one")
        return source
    if given is not None and protocol.source is None:
        raise UserError(f"--source {given} has no use in {protocol.name}, where each set is learnt from itself")
    if given is not None:
        return resolve_datasets([given], protocol.datasets)[0]
    drawn = protocol.source is not None and all(map(is_drawn, datasets))
    return (protocol.drawn.source or protocol.source) if drawn else protocol.source


def _corpus(protocol: Protocol, learners: Sequence[Method], given: str | None) -> str | None:
    if given is None:
        return None
    if not any(method.learns_from in ("captions", "both") for method in learners):
        raise UserError(f"--captions {given} has no use in {protocol.name} without a method that learns from captions")
    return given if given == DRAWN else str(Path(given).absolute())


def _check_parts(plan: Plan, learners: Sequence[Method]) -> None:
    """Finds a set of several classes without the splits that are learnt from and tested."""
    if not plan.protocol.multilabel:
        return
    if plan.part == "val":
        for dataset in plan.datasets:
            check_has_val(dataset)
    if any(method.learns_from in ("images", "both") for method in learners):
        for dataset in plan.datasets if plan.source in (None, *plan.datasets) else ():
            check_has_parts(dataset, plan.source)
    for dataset in filter(None, (*plan.datasets, plan.source)):
        check_has_pictures(dataset)


def _check_heads(jobs: Sequence[Job]) -> None:
    """Finds a learner with a head that would be tested on classes which it does not learn."""
    for job in jobs:
        others = next((test.subset for test in job.tests if job.subset not in ("all", test.subset)), None)
        if others is not None and not job.members and not learner_class(job.method).has_text_features:
            raise UserError(
                f"{job.spelling} answers with a head for the classes that it learns, and {job.protocol} tests {others} "
                "classes too; take a method whose class names are texts, such as coop"
            )


def _check_configs(jobs: Sequence[Job], given: Sequence[str]) -> None:
    """Finds settings that a method does not take, and an ensemble whose members would have several backbones."""
    alike = {(job.spelling, job.settings): job for job in jobs if not job.members}
    configs = {key: checked_config(job, given) for key, job in alike.items()}
    of_job = {job.name: configs[job.spelling, job.settings] for job in jobs if not job.members}
    for job in jobs:
        for member in job.members[1:]:
            if of_job[member].backbone != of_job[job.members[0]].backbone:
                names = " and ".join(of_job[name].backbone.name for name in (job.members[0], member))
                raise UserError(f"{job.method}: its members have backbones of their own ({names}); give them one")

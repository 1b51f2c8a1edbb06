"""From a request to tasks, with everything found that can be wrong before the first of them runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from clipprompt.backbone import check_backbone
from clipprompt.config import BackboneConfig
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.datasets.classification.load import load_classification, settle_pictures
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.evaluation.protocols import load_protocol, plan_jobs
from clipprompt.features.images import places_read_by
from clipprompt.sweep.request import Request
from clipprompt.sweep.task import Task
from clipprompt.training.run import check_request

Say = Callable[[str], None]


def plan_tasks(
    request: Request,
    folder: Path,
    *,
    run_settings: Sequence[str] = (),
    cache: Path | None = None,
    predictions: bool = False,
) -> list[Task]:
    """The jobs of a request, each with its folder and configuration. Nothing is read but configurations.

    Args:
        request: what is asked for.
        folder: of the sweep.
        run_settings: ``key=value`` that change where runs take place, such as ``backbone.device=cpu``.
        cache: folder of features; None for none.
        predictions: whether predictions are written.

    Raises:
        UserError: for anything wrong with names, settings and their combination.
    """
    jobs = plan_jobs(
        load_protocol(request.protocol),
        request.methods,
        request.datasets,
        seeds=request.seeds or None,
        shots=request.shots or None,
        class_splits=request.class_splits,
        settings=request.settings,
        source=request.source,
        part=request.part,
    )
    root = None if request.root is None else Path(request.root)
    places = tuple(sorted({kind for method in {job.method for job in jobs} for kind in places_read_by(method)}))
    tasks = [
        Task(job, folder / job.name, job.config(root, run_settings), root, cache, predictions, places) for job in jobs
    ]
    for task in tasks:
        if task.job.learns:
            check_request(task.config)
    return tasks


def resolved(request: Request, tasks: Sequence[Task]) -> Request:
    """The request with what the protocol filled in, and without ``all``."""
    jobs = [task.job for task in tasks]
    return replace(
        request,
        methods=tuple(dict.fromkeys(job.method for job in jobs)),
        datasets=tuple(dict.fromkeys(test.dataset for job in jobs for test in job.tests)),
        seeds=tuple(dict.fromkeys(job.seed for job in jobs if job.seed is not None)),
        shots=tuple(dict.fromkeys(job.shots for job in jobs if job.learns)),
        class_splits=tuple(dict.fromkeys(job.class_split for job in jobs)),
        backbone="; ".join(dict.fromkeys(_say_backbone(task.config.backbone) for task in tasks)),
    )


def check_tasks(tasks: Sequence[Task], say: Say = lambda _: None) -> None:
    """Reads what the tasks learn from and are tested on, as far as no picture is opened, and looks up their backbones.

    Args:
        tasks: of one sweep.
        say: takes a line for people about what is unusual in a set or a draw.

    Raises:
        UserError: naming what is missing.
    """
    for name, tag in dict.fromkeys((task.config.backbone.name, task.config.backbone.pretrained) for task in tasks):
        check_backbone(name, tag)
    told = set[str]()
    may_lack = any(task.config.data.skip_missing for task in tasks)
    for drawn, root, parts in _draws(tasks):
        for part in parts:
            settle_pictures(drawn.images(part), drawn.dataset, part, root, may_lack and part == "train")
        for note in drawn.notes:
            if note not in told:
                told.add(note)
                say(note)


def _say_backbone(config: BackboneConfig) -> str:
    size = None if config.image_size is None else f"{config.image_size} pixels"
    return ", ".join(part for part in (config.name, config.pretrained, config.precision, size) if part)


def _draws(tasks: Sequence[Task]) -> Iterator[tuple[Drawn, Path | None, list[str]]]:
    """Every draw that differs in more than its seed, where its set lies, and the parts of it that are used."""
    wanted = defaultdict[str, dict[tuple[int | None, str, int], set[str]]](lambda: defaultdict(set))
    for job in (task.job for task in tasks):
        if job.learns:
            wanted[job.dataset][job.shots, job.subset, job.class_split].add("train")
        for test in job.tests:
            wanted[test.dataset][None, test.subset, job.class_split].add(test.part)  # tests are of all pictures
    for name, draws in wanted.items():
        root = tasks[0].root if name in SPECIFICATIONS else None
        dataset = load_classification(name, root, parts=sorted(set[str]().union(*draws.values())))
        for (shots, subset, split), parts in draws.items():
            yield draw(dataset, shots, 1, subset, split), root, sorted(parts)

"""From a request to tasks, with everything found that can be wrong before the first of them runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from clipprompt.backbone import check_backbone
from clipprompt.datasets.classification.draw import Drawn, draw
from clipprompt.datasets.classification.load import load_classification
from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols import Job, load_protocol, plan_jobs
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
    tasks = [Task(job, folder / job.name, job.config(root, run_settings), root, cache, predictions) for job in jobs]
    for task in tasks:
        if task.job.learns:
            check_request(task.config)
    return tasks


def resolved(request: Request, jobs: Sequence[Job]) -> Request:
    """The request with what the protocol filled in, and without ``all``."""
    return replace(
        request,
        methods=tuple(dict.fromkeys(job.method for job in jobs)),
        datasets=tuple(dict.fromkeys(test.dataset for job in jobs for test in job.tests)),
        seeds=tuple(dict.fromkeys(job.seed for job in jobs if job.seed is not None)),
        shots=tuple(dict.fromkeys(job.shots for job in jobs if job.learns)),
        class_splits=tuple(dict.fromkeys(job.class_split for job in jobs)),
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
    for drawn, parts in _draws(tasks):
        for part in parts:
            if not drawn.part(part):
                raise UserError(f"{drawn.dataset.name} has no picture in part {part} of its {drawn.subset} classes")
        for note in drawn.notes:
            if note not in told:
                told.add(note)
                say(note)


def _draws(tasks: Sequence[Task]) -> Iterator[tuple[Drawn, set[str]]]:
    """Every draw that differs in more than its seed, and the parts of it that are used."""
    wanted = defaultdict[str, dict[tuple[int | None, str, int], set[str]]](lambda: defaultdict(set))
    root = next((task.root for task in tasks), None)
    for job in (task.job for task in tasks):
        if job.learns:
            wanted[job.dataset][job.shots, job.subset, job.class_split].add("train")
        for test in job.tests:
            wanted[test.dataset][job.shots if job.learns else None, test.subset, job.class_split].add(test.part)
    for name, draws in wanted.items():
        dataset = load_classification(name, root if name in SPECIFICATIONS else None)
        for (shots, subset, split), parts in draws.items():
            yield draw(dataset, shots, 1, subset, split), parts

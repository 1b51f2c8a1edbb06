"""From a request to tasks, with what is wrong in names and settings found on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from clipprompt.config import BackboneConfig, RunConfig
from clipprompt.evaluation.protocols.planning import Job, load_protocol, plan_jobs
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
    say: Say = lambda _: None,
) -> list[Task]:
    """The jobs of a request, each with its folder and configuration. Nothing is read but configurations.

    Args:
        request: what is asked for.
        folder: of the sweep.
        run_settings: ``key=value`` that change where runs take place, such as ``backbone.device=cpu``.
        cache: folder of features; None for none.
        predictions: whether predictions are written.
        say: takes a line for people about what is left out.

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
        known=request.known or None,
        settings=request.settings,
        source=request.source,
        corpus=request.captions,
        part=request.part,
        shares=request.shares or None,
        grid=request.grid,
        searches=request.searches,
        say=say,
    )
    root = None if request.root is None else Path(request.root)
    learners = {job.method for job in jobs if not job.members}
    places = tuple(sorted({kind for method in learners for kind in places_read_by(method)}))
    tasks = dict[str, Task]()
    for job in jobs:  # what needs others is the last
        members, grid = (tuple(tasks[name] for name in names) for names in (job.members, job.grid))
        config = members[0].config if members else _config(job, root, run_settings, cache)
        told = predictions and not members and not job.point  # theirs have them
        tasks[job.name] = Task(job, folder / job.name, config, root, cache, told, places, members, grid)
        if job.learns:
            check_request(config)
    return list(tasks.values())


def resolved(request: Request, tasks: Sequence[Task]) -> Request:
    """The request with what the protocol filled in, and without ``all``."""
    jobs = [task.job for task in tasks if not task.job.point]
    return replace(
        request,
        methods=tuple(dict.fromkeys(job.spelling for job in jobs)),
        datasets=tuple(dict.fromkeys(test.dataset for job in jobs for test in job.tests)),
        seeds=tuple(dict.fromkeys(job.seed for job in jobs if job.seed is not None)),
        shots=tuple(dict.fromkeys(job.shots for job in jobs if job.learns_from_pictures)),
        class_splits=tuple(dict.fromkeys(job.class_split for job in jobs)),
        shares=tuple(dict.fromkeys(job.share or 1.0 for job in jobs if job.variant)),
        known=tuple(dict.fromkeys(job.known for job in jobs if job.multilabel and job.learns_from_pictures)),
        captions=next((task.config.data.corpus for task in tasks if task.config.data.corpus is not None), None),
        backbone="; ".join(dict.fromkeys(_say_backbone(task.config.backbone) for task in tasks)),
    )


def _config(job: Job, root: Path | None, run_settings: Sequence[str], cache: Path | None) -> RunConfig:
    """The configuration of a run. Pictures that it encodes once are kept where all runs of the sweep find them."""
    config = job.config(root, run_settings)
    data = config.data
    is_shared = (job.multilabel or job.variant) and job.learns_from_pictures and data.augment is None
    if cache is None or data.cache is not None or not is_shared:
        return config
    return job.config(root, [*run_settings, f"data.cache={json.dumps(str(cache), ensure_ascii=False)}"])


def _say_backbone(config: BackboneConfig) -> str:
    size = None if config.image_size is None else f"{config.image_size} pixels"
    return ", ".join(part for part in (config.name, config.pretrained, config.precision, size) if part)

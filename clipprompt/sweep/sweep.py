"""A sweep: check everything, claim the folder, work through the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from clipprompt.sweep.checks import check_tasks
from clipprompt.sweep.engines import Engine
from clipprompt.sweep.live import shown
from clipprompt.sweep.plan import plan_tasks, resolved
from clipprompt.sweep.queue import Queue, make_queue, work_through
from clipprompt.sweep.request import Request, check_folder, claim_folder
from clipprompt.sweep.shards import Shard
from clipprompt.sweep.task import Task

Say = Callable[[str], None]


def prepare(
    request: Request,
    folder: Path,
    *,
    run_settings: Sequence[str] = (),
    cache: Path | None = None,
    predictions: bool = False,
    shard: Shard | None = None,
    say: Say = lambda _: None,
) -> tuple[Request, list[Task]]:
    """The request with everything filled in, and the tasks of this part of it. Nothing is written.

    Args:
        request: what is asked for.
        folder: of the sweep.
        run_settings: see :func:`clipprompt.sweep.plan.plan_tasks`.
        cache: see there.
        predictions: see there.
        shard: the part that is run here; None for the whole. What needs others is in no part until these are done,
            since they may be in several: the same request again, or one without a part, runs it then.
        say: takes messages for people.

    Raises:
        UserError: for anything wrong with the request, and for a folder that holds another sweep or run.
    """
    tasks = plan_tasks(request, folder, run_settings=run_settings, cache=cache, predictions=predictions, say=say)
    full = resolved(request, tasks)
    check_folder(folder, full)
    return full, tasks if shard is None else _part(tasks, shard, say)


def _part(tasks: Sequence[Task], shard: Shard, say: Say) -> list[Task]:
    """The tasks of one machine. What needs others is of it too, once they are done."""
    alone = [task for task in tasks if not task.needs]
    others = [task for task in tasks if task.needs]
    left = [task for task in others if not all(one.is_done for one in task.needs)]
    if left:
        what = "ensemble" if left[0].members else "run"
        counted = f"1 {what} is" if len(left) == 1 else f"{len(left)} {what}s are"
        how = "without --shard" if left[0].members else "again"
        say(f"{counted} left for the end: once all parts are done, the same command {how}")
    return [*shard.of(alone), *(task for task in shard.of(others) if task not in left)]


def run_sweep(
    request: Request, tasks: Sequence[Task], folder: Path, engine: Engine, n_jobs: int = 1, say: Say = lambda _: None
) -> Queue:
    """Brings the tasks to their ends.

    Args:
        request: of :func:`prepare`.
        tasks: of :func:`prepare`.
        folder: of the sweep.
        engine: that runs them.
        n_jobs: how many at a time.
        say: takes messages for people.

    Returns:
        What has become of each.

    Raises:
        UserError: for what is wrong before the first of them runs. What fails later is a state of the queue.
        InterruptedRunError: after Ctrl-C or SIGTERM; the same call goes on.
    """
    queue = make_queue(tasks, n_jobs)
    pending = [entry.task for entry in queue.in_state("pending")]
    if pending:
        engine.check(pending, n_jobs)
        check_tasks(pending, say)
    claim_folder(folder, request)
    if n_done := len(queue.in_state("done")):
        say(f"{n_done} of {len(queue.entries)} runs are done already")
    with shown(queue) as display:
        work_through(queue, engine, display)
    return queue

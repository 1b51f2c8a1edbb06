from __future__ import annotations

from collections.abc import Callable

import pytest

from clipprompt.sweep.task import Task


@pytest.mark.parametrize(
    ("methods", "places"), [("coop", ()), ("coop dualcoop", (True,)), ("zero_shot caption_dual", (False,))]
)
def test_all_jobs_keep_the_places_that_any_of_them_reads(
    tasks_for: Callable[..., list[Task]], methods: str, places: tuple[bool, ...]
) -> None:
    tasks = tasks_for(methods=tuple(methods.split()))
    assert {task.job.method for task in tasks} == set(methods.split())
    assert {task.places for task in tasks} == {places}

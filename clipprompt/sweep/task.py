"""A job and the folder that it runs in: the unit that engines work on, and that a kill may cut off anywhere.

folder/  what `clipprompt train` writes (where anything is learnt), then predictions.jsonl where it is asked for,
         results.jsonl with one record per test, and job.json, which says whose results they are

An ensemble has the two last files alone: its members are other tasks, and their folders hold the prompts. A point of a
grid keeps validation.jsonl in place of results.jsonl, and no weights.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from clipprompt.config import RunConfig
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols.planning import Job, Test
from clipprompt.files import write_json
from clipprompt.learners import learner_options
from clipprompt.training.run_folder import compared_settings

JOB, RESULTS, PREDICTIONS, VALIDATION = "job.json", "results.jsonl", "predictions.jsonl", "validation.jsonl"


@dataclass(frozen=True)
class Task:
    """One job of a sweep. It can be pickled, so that other processes and machines take it.

    Attributes:
        job: what is learnt and tested.
        folder: of its run.
        config: of its run; of an ensemble the first member's, which names a backbone and where it runs.
        root: folder of named sets.
        cache: folder of features, shared by all jobs; None for none.
        predictions: whether what every test picture was taken for is written as well.
        places: see :class:`clipprompt.evaluation.job_tests.one_class.Evaluation`.
        members: of an ensemble, which can be made once these are done; none where it is a learner.
        grid: of a job that takes the best of these, once they are done; none where settings are given.
    """

    job: Job
    folder: Path
    config: RunConfig
    root: Path | None = None
    cache: Path | None = None
    predictions: bool = False
    places: tuple[bool, ...] = ()
    members: tuple[Task, ...] = ()
    grid: tuple[Task, ...] = ()

    @property
    def needs(self) -> tuple[Task, ...]:
        """What is done before it."""
        return self.members + self.grid

    @property
    def results(self) -> Path:
        """Where its records go: those of a point of a grid are nobody's results."""
        return self.folder / (VALIDATION if self.job.point else RESULTS)

    @property
    def log(self) -> Path:
        """Where the run and its failures are told in full."""
        return self.folder / "log.txt"

    @property
    def is_done(self) -> bool:
        """Whether all that is asked for is there: results of these tests, and predictions where they are wanted."""
        files = [self.folder / JOB, self.results, *([self.folder / PREDICTIONS] if self.predictions else [])]
        return all(path.is_file() for path in files) and {*self.job.tests} <= {*self._tests_there()}

    def check(self) -> None:
        """Finds a folder that holds another job. One with other tests is the same, and can have both.

        Raises:
            UserError: naming the first difference.
        """
        there, here = self._there(), _numbers_of(self._description)
        for key in dict.fromkeys([*there, *here]) if there else ():
            if there.get(key) != here.get(key):
                values = f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
                raise UserError(f"{self.folder} holds another run: {values}; choose another folder with -o")

    def with_earlier_tests(self) -> Task:
        """The task with the tests of its folder as well, which are made again, so that all results are of one kind."""
        tests = dict.fromkeys([*self._tests_there(), *self.job.tests])
        return replace(self, job=replace(self.job, tests=tuple(tests)))

    def describe(self) -> None:
        """Writes ``job.json``: the results beside it are this job's, and all of them are there."""
        write_json(self.folder / JOB, self._description)

    @cached_property
    def _description(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads(json.dumps({"job": asdict(self.job), "settings": self._settings}))
        return described

    @property
    def _settings(self) -> dict[str, Any]:
        if self.members:
            own = {member.job.name: member._settings for member in self.members}
            return {f"{name}: {key}": value for name, settings in own.items() for key, value in settings.items()}
        return {key: value for key, value in compared_settings(self.config).items() if value is not None}

    def _there(self) -> dict[str, Any]:
        """What decides the numbers of the job in the folder; empty where there is none."""
        path = self.folder / JOB
        return _numbers_of(_read(path)) if path.is_file() else {}

    def _tests_there(self) -> list[Test]:
        path = self.folder / JOB
        return [Test(**test) for test in _read(path)["job"]["tests"]] if path.is_file() else []


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _numbers_of(content), [Test(**test) for test in content["job"]["tests"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged; remove the folder {path.parent}, and its run is made again") from error
    return content


def _numbers_of(description: dict[str, Any]) -> dict[str, Any]:
    """The job's fields and the settings that they make; what is tested may differ, and on which GPU."""
    tree = {**_defaults(description["job"]), **description["job"], **description["settings"]}
    left_out = ("settings", "tests", "backbone.device")
    return {key: value for key, value in tree.items() if key not in left_out and not key.endswith(": backbone.device")}


def _defaults(job: dict[str, Any]) -> dict[str, Any]:
    """What a job that was written before a key was there had without saying so."""
    told = {field.name: field.default for field in fields(Job) if field.default is not MISSING}
    defaults: dict[str, Any] = json.loads(json.dumps(told))
    if not job.get("members"):
        options = learner_options(job["method"])
        # A setting of None is not written down, so one that may be None and is not there is None.
        asked = {key for key, option in options.model_fields.items() if NoneType not in get_args(option.annotation)}
        defaults |= {f"learner.{key}": value for key, value in options().model_dump(mode="json", include=asked).items()}
    return defaults

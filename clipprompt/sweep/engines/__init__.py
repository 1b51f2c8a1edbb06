"""Where the jobs of a sweep run. A file without an underscore is an engine, found by its name.

An engine has two functions: ``check`` finds what cannot work before anything has run, and ``run`` works through tasks
and yields what becomes of each.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from clipprompt.errors import UserError, nearest
from clipprompt.stopping import StopRequest
from clipprompt.sweep.task import Task

State = Literal["pending", "running", "done", "failed", "elsewhere"]


@dataclass(frozen=True)
class Event:
    """What became of a task.

    Attributes:
        place: of the task among those given to the engine.
        state: that it is in now.
        message: why it failed, or what was skipped, in one line.
        seconds: that it ran; 0 while it does.
    """

    place: int
    state: State
    message: str = ""
    seconds: float = 0.0


class Engine(Protocol):
    """What a file of this folder offers."""

    def check(self, tasks: Sequence[Task], n_jobs: int) -> None:
        """Finds what cannot work.

        Raises:
            UserError: in one line.
        """

    def run(self, tasks: Sequence[Task], n_jobs: int, stop: StopRequest) -> Generator[Event, None, None]:
        """Works through the tasks, up to ``n_jobs`` at a time. What it has started ends with it, or when it is closed.

        Yields:
            For every task an event when it begins and one when it ends, in any order. A task that fails does not stop
            the rest.

        Raises:
            InterruptedRunError: after Ctrl-C or SIGTERM, which ``stop`` tells; what ran has saved where it stands.
        """


def list_engines() -> list[str]:
    """Names of all engines, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_engine(name: str) -> Engine:
    """The engine of a name.

    Raises:
        UserError: for an unknown one, with the nearest suggested.
    """
    known = list_engines()
    if name not in known:
        raise UserError(f"there is no engine {name!r}{nearest(name, known)}; choose one of {', '.join(known)}")
    return cast(Engine, importlib.import_module(f"{__name__}.{name}"))

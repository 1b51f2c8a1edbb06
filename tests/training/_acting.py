"""What processes do in tests of watching over them; it imports no torch, so that they start quickly."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from clipprompt.errors import NotFiniteError
from clipprompt.stopping import InterruptedRunError
from clipprompt.training._processes import is_first, n_started


def act(kind: str, say: Callable[[str], None]) -> str:
    """What a process does: the second one first, and what is told of it; the first waits for what does not come."""
    rank = int(os.environ["RANK"])
    say(f"{kind} by {rank} of {n_started()}, first: {is_first()}")
    if rank == 0:
        time.sleep(0.0 if kind == "done" else 60.0)
    elif kind == "refused":
        raise NotFiniteError("the loss is nan at step 3")
    elif kind == "failed":
        raise ZeroDivisionError("a mistake of ours")
    elif kind == "stopped":
        raise InterruptedRunError(15, "stopped at epoch 1")
    elif kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "left":
        sys.exit(3)
    return f"result of {rank}"

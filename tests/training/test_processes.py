"""Processes that share a run: how they are watched over, and what becomes of how each of them ends."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from clipprompt.config import TrainConfig
from clipprompt.errors import NotFiniteError, UserError
from clipprompt.learners import Learner
from clipprompt.stopping import InterruptedRunError
from clipprompt.training._processes import is_first, n_started, quiet_unless_first, run_in_processes
from clipprompt.training.data import FeatureData, Share
from clipprompt.training.loop import train
from tests.training._acting import act

ENDS: dict[str, tuple[type[BaseException], str]] = {
    "refused": (NotFiniteError, "^the loss is nan at step 3$"),
    "failed": (RuntimeError, "ZeroDivisionError: a mistake of ours"),
    "stopped": (InterruptedRunError, "^stopped at epoch 1$"),
    "killed": (UserError, r"^process 2 of 2 was killed \(SIGKILL\); what it had saved is kept$"),
    "left": (UserError, "^process 2 of 2 ended with exit code 3; what it had saved is kept$"),
}


def test_the_first_process_speaks_and_gives_the_result() -> None:
    said = list[str]()
    assert run_in_processes(act, ("done",), 2, said.append) == "result of 0"
    assert said == ["done by 0 of 2, first: True"]


@pytest.mark.parametrize("kind", ENDS)
def test_the_end_of_one_is_the_end_of_all(kind: str) -> None:
    error, message = ENDS[kind]
    with pytest.raises(error, match=message):
        run_in_processes(act, (kind,), 2, lambda _: None)


def test_a_signal_before_the_processes_are_ready_for_it_stops_the_run() -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(InterruptedRunError, match=r"^stopped before the first step$") as stop:
        run_in_processes(act, ("asleep",), 2, lambda _: None)
    timer.join()
    assert stop.value.signum == signal.SIGTERM


def test_this_process_alone_is_the_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert (n_started(), is_first()) == (1, True)
    for name, value in {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert (n_started(), is_first()) == (2, False)
    with quiet_unless_first():
        print("hidden", file=sys.stderr)
    print("shown", file=sys.stderr)
    assert capsys.readouterr().err == "shown\n"


def test_several_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="processes of one machine"):
        n_started()


def test_a_call_alone_does_not_pass_for_two_processes(learner: Learner, data: FeatureData) -> None:
    with pytest.raises(
        UserError, match=r"train\.devices=2 needs as many processes: use `clipprompt train` or torchrun"
    ):
        train(learner, data, TrainConfig(epochs=1, devices=2))


@pytest.mark.parametrize("n_processes", [1, 2, 3, 5])
def test_shares_are_the_whole_batch_and_differ_by_one_sample_at_most(n_processes: int, data: FeatureData) -> None:
    whole = [labels.tolist() for _, labels in data.batches(0, 5, 4)]
    parts = [
        [labels.tolist() for _, labels in data.batches(0, 5, 4, share=Share(rank, n_processes))]
        for rank in range(n_processes)
    ]
    for number, batch in enumerate(whole):
        shares = [part[number] for part in parts]
        assert [row for share in shares for row in share] == batch
        assert max(map(len, shares)) - min(map(len, shares)) <= 1

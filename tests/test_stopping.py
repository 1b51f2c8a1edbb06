from __future__ import annotations

import signal
import threading

import pytest

from clipprompt.stopping import InterruptedRunError, handlers_kept, stop_on_signals


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_remembered_until_it_is_asked_for(signum: int) -> None:
    with stop_on_signals() as stop:
        stop.raise_if_asked("too early")
        signal.raise_signal(signum)
        with pytest.raises(InterruptedRunError, match="stopped") as error:
            stop.raise_if_asked("stopped")
    assert error.value.signum == signum


def test_a_second_ctrl_c_acts_at_once() -> None:
    with stop_on_signals(), pytest.raises(KeyboardInterrupt):  # noqa: PT012 (the second one is the point)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_a_request_inside_another_tells_it() -> None:
    with stop_on_signals() as outer:
        with stop_on_signals() as inner:
            signal.raise_signal(signal.SIGTERM)
        assert (inner.signum, outer.signum) == (signal.SIGTERM, signal.SIGTERM)


def test_where_there_is_nothing_to_save_a_signal_acts_at_once() -> None:
    with stop_on_signals() as stop:
        with pytest.raises(InterruptedRunError, match=r"^while testing$"), stop.at_once("while testing"):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(InterruptedRunError, match=r"^again$"), stop.at_once("again"):
            pytest.fail("it has been asked to stop")


def test_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_handlers_that_somebody_else_sets_do_not_stay() -> None:
    with stop_on_signals() as stop:
        with handlers_kept():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.raise_signal(signal.SIGTERM)
    assert stop.signum == signal.SIGTERM


def test_another_thread_leaves_the_handlers_alone() -> None:
    seen = []

    def work() -> None:
        with stop_on_signals() as stop:
            seen.append((signal.getsignal(signal.SIGTERM), stop.signum))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGTERM), None)]

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from clipprompt.errors import UserError
from clipprompt.training._events import open_events
from clipprompt.training.metrics_log import MetricsLog, open_metrics, read_metrics


def write(folder: Path, *steps: int, start: int = 0) -> None:
    with open_metrics(folder, start, start) as log:
        assert log is not None
        for step in steps:
            log.write(step=step, epoch=step, loss=1 / step)


def steps_in(folder: Path) -> list[int]:
    return [line["step"] for line in read_metrics(folder / "metrics.jsonl")]


def test_every_line_is_json_with_its_step(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": n, "epoch": n, "loss": 1 / n} for n in (1, 2, 3)]


@pytest.mark.parametrize(("start", "kept"), [(0, []), (1, [1]), (2, [1, 2]), (9, [1, 2, 3])])
def test_what_was_written_beyond_the_checkpoint_is_cut_off(start: int, kept: list[int], tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    write(tmp_path, start=start)
    assert steps_in(tmp_path) == kept


def test_an_epoch_whose_end_was_not_saved_loses_its_line(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0, 0)
    log.write(step=4, step_loss=0.5)
    log.write(step=4, epoch=1, loss=0.5)
    log.close()
    MetricsLog(tmp_path, 4, 0).close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 4, "step_loss": 0.5}]


@pytest.mark.parametrize("torn", ['{"step": 4', '{"step": 4, "loss": 0.25}', "{", '{"step":', "\x00\x00"])
def test_a_torn_last_line_is_left_out(torn: str, tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(torn)
    write(tmp_path, 4, start=3)
    assert steps_in(tmp_path) == [1, 2, 3, 4]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\noops\n{"step": 2}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 2 is not JSON"):
        MetricsLog(tmp_path, 2, 2)


def test_without_a_folder_there_is_no_log() -> None:
    with open_metrics(None, 0, 0) as log:
        assert log is None


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0, 0)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*metrics\.jsonl: .*; the last checkpoint is kept"):
        log.write(step=1, loss=0.5)
    log.close()


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(tmp_path, 1, 2)
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 0.5)]


def test_tensorboard_forgets_what_lies_beyond_the_checkpoint(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(tmp_path, 1, 2, 3)
    time.sleep(0.01)  # files are read in the order of their names, which are times
    write(tmp_path, 4, start=2)
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 4]


def test_a_full_disk_costs_the_events_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = open_events(tmp_path, 0)
    assert events is not None

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(events._writer, "flush", full)
    events.write(1, {"loss": 0.5})
    events.close()
    events.write(2, {"loss": 0.5})


def test_without_tensorboard_only_its_events_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    write(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]

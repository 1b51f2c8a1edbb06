"""Files appear whole or not at all, and a disk that fails is one line."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from clipprompt.errors import UserError
from clipprompt.files import replace_file, write_tensors, write_text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_is_one_line_and_leaves_the_older_file(tmp_path: Path, number: int) -> None:
    target = tmp_path / "tags.html"
    target.write_text("an older one")
    with pytest.raises(UserError, match=r"^cannot write .*tags\.html: "), replace_file(target):
        raise OSError(number, os.strerror(number))
    assert target.read_text() == "an older one"
    assert list(tmp_path.iterdir()) == [target]


def test_another_error_inside_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), replace_file(tmp_path / "a"):
        raise BrokenPipeError(errno.EPIPE, "broken pipe")


def test_a_disk_that_fills_up_at_the_last_moment_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="no space left"):
        write_text(tmp_path / "a", "text")
    assert not list(tmp_path.iterdir())


def test_tensors_that_cannot_be_written_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SafetensorError("I/O error: no space left")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(UserError, match=r"cannot write .*a\.safetensors: I/O error"):
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)})
    assert not list(tmp_path.iterdir())


def test_tensors_may_be_read_by_whom_texts_may(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "text")
    write_tensors(tmp_path / "b", {"a": torch.zeros(1)}, {"format": "1"})
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"]
    assert modes[0] == modes[1]

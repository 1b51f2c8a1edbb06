from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest

from clipprompt.errors import UserError
from clipprompt.sweep._output import note, output_to


def test_what_a_job_would_show_goes_to_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with output_to(tmp_path / "log.txt"):
            print("said")
            print("told", file=sys.stderr)
            logging.getLogger("clipprompt").warning("logged")
            assert not sys.stderr.isatty()
        logging.getLogger("clipprompt").warning("shown again")
        print("and this", file=sys.stderr)
    finally:
        logging.getLogger().removeHandler(handler)
    log = (tmp_path / "log.txt").read_text()
    assert all(word in log for word in ("said", "told", "logged"))
    assert terminal.getvalue() == "shown again\nand this\n"


def test_a_log_keeps_what_was_there_and_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("before\n")
    note(tmp_path / "log.txt", "a\udcff.jpg")
    with output_to(tmp_path / "log.txt"):
        print("b\udcff.jpg")
    first, second, third = (tmp_path / "log.txt").read_text().splitlines()
    assert first == "before"
    assert second.endswith(r"a\udcff.jpg")
    assert third == r"b\udcff.jpg"


def test_a_log_that_cannot_be_written_is_named_or_passed_over(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"cannot write .*log\.txt: No such file"),
        output_to(tmp_path / "no" / "log.txt"),
    ):
        pytest.fail("there is no such folder")
    note(tmp_path / "no" / "log.txt", "lost, and no reason to fail")

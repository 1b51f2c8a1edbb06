"""Standard streams that are closed or full."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipprompt.cli import main


@pytest.mark.parametrize(
    ("closed", "arguments", "said"),
    [
        ("stdin", ["tag", "-", "-l", "a,b"], "stdin named no picture"),
        ("stdout", ["tag", "nowhere.png", "-l", "a,b", "-f", "html"], "no such file or folder"),
        ("stderr", ["tag", "nowhere.png", "-l", "a,b"], ""),
    ],
)
def test_a_stream_that_was_closed_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], closed: str, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr("sys.argv", ["clipprompt", *arguments])
    monkeypatch.setattr(f"sys.{closed}", None)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line_of_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["clipprompt", "train", "tai_dpt", "--keys"])
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "clipprompt: cannot write to stdout: no space left on device\n"

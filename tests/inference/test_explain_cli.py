"""``clipprompt explain`` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clipprompt import load_backbone
from clipprompt.backbone import Backbone
from clipprompt.cli import main
from clipprompt.learners import create_learner
from tests.reports._pages import Page, assert_self_contained

CLASSES = ("cat", "dog", "sofa", "red bus")


@pytest.fixture(scope="module")
def mini() -> Backbone:
    return load_backbone("mini", device="cpu")


@pytest.fixture(scope="module")
def runs(mini: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved prompts: tai (n_ctx 2), specific, zero (zero_shot), coop; and captions, good and bad."""
    folder = tmp_path_factory.mktemp("runs")
    create_learner("tai_dpt", mini, CLASSES, n_ctx=2).save(folder / "tai")
    create_learner("tai_dpt", mini, CLASSES, n_ctx=1, class_specific=True).save(folder / "specific")
    create_learner("zero_shot", mini, CLASSES).save(folder / "zero")
    create_learner("coop", mini, CLASSES, n_ctx=2).save(folder / "coop")
    (folder / "cut").mkdir()
    (folder / "cut" / "prompt.json").write_text("{")
    (folder / "captions.txt").write_text("".join(f"a cat on sofa number {n}\n" for n in range(12)))
    (folder / "some.jsonl").write_text('{"caption": "a dog"}\n{"caption": ""}\nbroken\n')
    (folder / "captions.png").write_bytes(b"\x89PNG")
    (folder / "empty.txt").write_text("")
    return folder


class Done:
    """Exit code and what was printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


Run = Callable[..., Done]


@pytest.fixture
def run(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_(*arguments: str) -> Done:
        monkeypatch.chdir(runs)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr("sys.argv", ["clipprompt", "explain", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return Done(int(stop.value.code or 0), printed.out, printed.err)

    return run_


def test_a_prompt_alone_shows_both_contexts_and_what_distances_are_worth(run: Run) -> None:
    done = run("tai", "--top", "2")
    assert (done.code, done.err) == (0, "")
    assert "ctx: nearest words" in done.out
    assert "ctx_local: nearest words" in done.out
    assert "two random words" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert "\x1b" not in done.out


def test_captions_are_words_with_shares_where_there_are_no_colours(run: Run) -> None:
    done = run("tai", "--caption", "a dog on a [red]sofa[/red]", "--top", "1")
    assert "a dog on a [red]sofa[/red]" in done.out
    assert "attends to" in done.out
    assert " %" in done.out


def test_json_has_all_numbers(run: Run) -> None:
    found = json.loads(run("tai", "--caption", "a dog", "-f", "json").out)
    assert [(v["parameter"], v["position"]) for v in found["context"]["vectors"]] == [
        ("ctx", 1),
        ("ctx", 2),
        ("ctx_local", 1),
        ("ctx_local", 2),
    ]
    assert found["captions"][0]["words"] == ["[start]", "a", "dog", "[end]"]
    assert {entry["label"] for entry in found["captions"][0]["classes"]} == set(CLASSES)


def test_a_page_is_written_whole_and_requests_nothing(run: Run, runs: Path) -> None:
    done = run("tai", "--caption", "a <b>dog</b> & </script>", "--captions", "captions.txt", "-o", "page.html")
    assert (done.code, done.out) == (0, "")
    page = Page((runs / "page.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert_self_contained(page)
    assert not page.all("script")
    assert not page.all("b")
    assert "a <b>dog</b> & </script>" in page.text
    assert len(page.all("table")) == 2 + 1 + 10


def test_a_table_in_a_file_has_no_escapes(run: Run, runs: Path) -> None:
    run("tai", "--caption", "a dog", "-o", "explained.txt")
    text = (runs / "explained.txt").read_text(encoding="utf-8")
    assert "ctx_local" in text
    assert "\x1b" not in text


def test_the_first_captions_of_a_file_are_read_and_the_rest_is_said(run: Run) -> None:
    done = run("tai", "--captions", "captions.txt", "--limit", "3", "-f", "json")
    assert len(json.loads(done.out)["captions"]) == 3
    assert "captions.txt: only its first captions, 3, are read" in done.err


def test_captions_that_cannot_be_read_are_named_and_the_rest_is_done(run: Run) -> None:
    done = run("tai", "--captions", "some.jsonl", "-f", "json")
    assert done.code == 1
    assert len(json.loads(done.out)["captions"]) == 1
    assert "skipped some.jsonl:2" in done.err
    assert "skipped some.jsonl:3" in done.err


def test_a_caption_that_is_too_long_is_cut_and_said(run: Run) -> None:
    done = run("tai", "--caption", "dog " * 90, "--top", "1")
    assert done.code == 0
    assert "cut after 77 tokens: 'dog dog" in done.err
    assert "its end was cut" in done.out


def test_class_specific_contexts_show_some_classes_and_say_which(run: Run) -> None:
    done = run("specific", "--top", "1")
    assert "shown are cat, dog, sofa (others: --labels)" in done.err
    assert "ctx, sofa" in done.out
    assert "ctx, red bus" not in done.out
    assert "ctx, red bus" in run("specific", "--top", "1", "-l", "red bus,").out


def test_zero_shot_shows_what_its_classes_attend_to(run: Run) -> None:
    found = json.loads(run("zero", "--caption", "a dog", "-f", "json").out)
    assert found["context"] is None
    assert found["captions"][0]["classes"][0]["label"] == "dog"


def test_another_backbone_can_be_named(run: Run, mini: Backbone) -> None:
    assert run("tai", "--backbone", "mini", "--device", "cpu", "--top", "1").code == 0
    assert mini.device == torch.device("cpu")


BAD = [
    (["nowhere"], "nowhere is not a prompt folder"),
    (["captions.txt"], "captions.txt is not a prompt folder"),
    (["cut"], "prompt.json cannot be read"),
    (["zero"], "zero_shot has learnt no words; give --caption"),
    (["coop", "--caption", "a dog"], "coop has no local branch"),
    (["tai", "--labels", "dgo,"], "no class 'dgo' (did you mean 'dog'?)"),
    (["tai", "--labels", "voc2008"], "did you mean 'voc2007'?"),
    (["tai", "--caption", " "], "--caption is empty"),
    (["tai", "--captions", "nowhere.txt"], "nowhere.txt"),
    (["tai", "--captions", "captions.png"], "unknown kind of file"),
    (["tai", "--captions", "empty.txt"], "empty.txt"),
    (["tai", "--format", "htlm"], "unknown format 'htlm' (did you mean 'html'?)"),
    (["tai", "-o", "tai"], "-o tai is not a file"),
    (["tai", "-o", "captions.txt/x.html"], "captions.txt"),
    (["tai", "--backbone", "mimi"], "there is no backbone 'mimi'"),
    (["tai", "--device", "tpu9"], "tpu9"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_a_mistake_gets_one_line_and_nothing_is_written(
    run: Run, runs: Path, arguments: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = [line for line in done.err.splitlines() if line.startswith("clipprompt: ")]
    assert message in line
    assert "Traceback" not in done.err
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("arguments", [["tai", "--top", "0"], ["tai", "--limit", "0"], [], ["tai", "coop"]])
def test_what_the_parser_refuses_exits_with_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).code == 2


def test_a_page_does_not_go_to_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    done = run("tai", "-f", "html")
    assert done.code == 2
    assert "-o explained.html" in done.err


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
import typer
from typer.testing import CliRunner
from clipprompt.cli.explain import explain
app = typer.Typer()
app.command()(explain)
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
heavy = {"torch", "numpy", "pandas", "matplotlib", "PIL", "open_clip", "jinja2"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)

"""``clipprompt corpus`` and ``clipprompt synonyms`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
from nltk.corpus import LazyCorpusLoader, WordNetCorpusReader
from typer.testing import CliRunner, Result

from clipprompt.captions.corpus import load_corpus
from clipprompt.captions.suggest import INSTALL
from clipprompt.cli import corpus, synonyms
from clipprompt.errors import UserError


@pytest.fixture(autouse=True)
def _in_a_folder_with_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"a": "a dog\n", "b": "two cats\n", "c": "a horse\nnothing\n"}.items():
        Path(f"{name}.txt").write_text(text)
    Path("bad.token").write_text("1.jpg#0\ta cow\nno tab here\n")


def _build(*args: str) -> Result:
    return CliRunner().invoke(corpus.app, ["build", "--classes", "voc2007", "-o", "out.parquet", *args])


@pytest.mark.parametrize(
    "args",
    [
        ["--captions", "a.txt", "b.txt", "c.txt"],
        ["--captions", "a.txt", "--captions", "b.txt", "--captions", "c.txt"],
        ["--captions", "a.txt", "b.txt", "--captions", "c.txt"],
        ["a.txt", "--captions", "b.txt", "c.txt"],
        ["a.txt", "b.txt", "c.txt"],
    ],
)
def test_several_files_follow_one_option_or_several(args: list[str]) -> None:
    result = _build(*args)
    assert result.exit_code == 0, result.output
    assert sorted(load_corpus("out.parquet").captions) == ["a dog", "a horse", "two cats"]
    assert result.stdout == ""
    assert "3 captions of 4; 3 (75.0%) name a class" in result.stderr


def test_flags_may_follow_the_files() -> None:
    args = ["build", "--captions", "a.txt", "c.txt", "--keep-empty", "--classes", "coco2014", "--output", "out.parquet"]
    assert CliRunner().invoke(corpus.app, args).exit_code == 0
    assert list(load_corpus("out.parquet").captions) == ["a dog", "a horse", "nothing"]


def test_skipped_records_are_named_and_the_exit_code_is_1() -> None:
    result = _build("--captions", "a.txt", "bad.token")
    assert result.exit_code == 1
    assert "clipprompt: skipped bad.token:2: no tab between image and caption" in result.stderr
    assert len(load_corpus("out.parquet")) == 2


def test_skipped_records_beyond_the_first_are_counted() -> None:
    Path("bad.token").write_text("x\n" * 30 + "1#0\ta cow\n")
    assert "clipprompt: skipped 10 more" in _build("--captions", "bad.token").stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no caption files given; name them with --captions FILE"),
        (["--captions", "a.txt", "no.txt"], "there is no file no.txt"),
        (["--captions", "."], ". is a folder"),
        (["--captions", "a.txt", "--classes", "voc2008"], "no class list 'voc2008' (did you mean 'voc2007'?)"),
        (["--captions", "a.txt", "--column", "text"], "a.txt has no columns"),
    ],
)
def test_a_mistake_is_one_line(args: list[str], message: str) -> None:
    result = _build(*args)
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert not Path("out.parquet").exists()


def test_classes_must_be_given() -> None:
    result = CliRunner().invoke(corpus.app, ["build", "--captions", "a.txt"])
    assert result.exit_code == 2
    assert "--classes" in result.stderr


def test_stats_as_a_table_and_as_json() -> None:
    _build("--captions", "a.txt", "b.txt", "c.txt", "--keep-empty")
    table = CliRunner().invoke(corpus.app, ["stats", "out.parquet"])
    assert table.exit_code == 0
    assert "4 captions, 3 with labels, 1.00 labels each" in " ".join(table.stdout.split())
    numbers = json.loads(CliRunner().invoke(corpus.app, ["stats", "out.parquet", "--format", "json"]).stdout)
    assert numbers["n_captions"] == 4
    assert [name for name, count in numbers["per_class"].items() if count] == ["cat", "dog", "horse"]


class _Sense:
    def __init__(self, names: list[str], below: list[_Sense] | None = None) -> None:
        self.names, self.below = names, below or []

    def lemma_names(self) -> list[str]:
        return self.names

    def hyponyms(self) -> list[_Sense]:
        return self.below

    def closure(self, relation: object) -> list[_Sense]:
        return [inner for sense in self.below for inner in (sense, *sense.closure(relation))]


class _WordNet:
    """Three entries in the shape of NLTK's reader."""

    senses: ClassVar = {
        "dog": [
            _Sense(["dog", "domestic_dog"], [_Sense(["puppy"], [_Sense(["whelp"])]), _Sense(["pet"])]),
            _Sense(["frump"]),
        ],
        "cat": [_Sense(["cat", "true_cat"], [_Sense(["kitty", "pet"])])],
        "rack": [_Sense(["rack", "torture"])],
    }

    def ensure_loaded(self) -> None:
        pass

    def synsets(self, name: str, pos: str) -> list[_Sense]:
        assert pos == "n"
        return self.senses.get(name, [])


def test_suggestions_are_a_synonym_file_that_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipprompt.captions.suggest.load_wordnet", _WordNet)
    Path("mine.txt").write_text("dog\ncat\nwine rack\nno\n")
    result = CliRunner().invoke(synonyms.app, ["suggest", "--classes", "mine.txt", "-o", "my.yaml"])
    assert result.exit_code == 0, result.output
    from clipprompt.captions.synonyms import load_classes

    entries = {entry.name: entry.words for entry in load_classes("my.yaml").entries}
    # The first sense and what is narrower; "pet" would name two classes, "torture" is no wine rack.
    assert entries == {
        "dog": ("domestic dog", "puppy", "whelp"),
        "cat": ("true cat", "kitty"),
        "wine rack": (),
        "no": (),
    }
    assert "prune before use" in result.stderr


def test_missing_wordnet_data_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.data.path", [])
    monkeypatch.setattr("nltk.corpus.wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, None))
    Path("mine.txt").write_text("dog\n")
    result = CliRunner().invoke(synonyms.app, ["suggest", "--classes", "mine.txt", "-o", "my.yaml"])
    assert isinstance(result.exception, UserError)
    assert f"install it with: {INSTALL}" in str(result.exception)
    assert not Path("my.yaml").exists()

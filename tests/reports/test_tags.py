from __future__ import annotations

import csv
import io
import json
import os

import pytest

from clipprompt.errors import UserError
from clipprompt.inference import ImageTags, Tag
from clipprompt.reports.tags import FORMATS, tag_writer

PLAIN = ImageTags("a.jpg", (Tag("dog", 24.125), Tag("red bus", -3.5)), size=(4, 3))
CALIBRATED = ImageTags("b.jpg", (Tag("dog", 24.125, 0.98765), Tag("red bus", 3.5, 0.5)))
ANSWERED = ImageTags(
    "c.jpg",
    (Tag("dog", 3.0, 0.97, answer="yes"), Tag("cat", 2.0, 0.4, answer="uncertain"), Tag("cow", 1.0, 0.01, answer="no")),
)
NONE = ImageTags("none.jpg")
BROKEN = ImageTags("broken.jpg", error="the file is empty")
STRANGE = [
    "line\nfeed\r.jpg",
    "esc\x1b[31m.jpg",
    'comma, "quote".jpg',
    " space .jpg",
    "猫 🐈.jpg",
    "\udcff\udc80.jpg",
    "end\x85of\u2028line.jpg",
    "\u202egpj.exe",
]


def written(output_format: str, *images: ImageTags, **options: bool | int) -> str:
    writer = tag_writer(output_format, **options)  # type: ignore[arg-type]
    text = writer.head() + "".join(writer.image(one) for one in images) + writer.foot()
    return text.encode("utf-8", "backslashreplace").decode()  # as the command writes it


def test_json_lines_have_every_picture() -> None:
    lines = [json.loads(line) for line in written("jsonl", PLAIN, CALIBRATED, NONE, BROKEN).splitlines()]
    dog = {"label": "dog", "score": 24.125, "probability": None}
    assert lines[0] == {"path": "a.jpg", "tags": [dog, {"label": "red bus", "score": -3.5, "probability": None}]}
    assert lines[1]["tags"][0]["probability"] == 0.98765
    assert lines[2:] == [{"path": "none.jpg", "tags": []}, {"path": "broken.jpg", "error": "the file is empty"}]


@pytest.mark.parametrize("path", STRANGE)
def test_json_lines_give_every_name_back(path: str) -> None:
    text = written("jsonl", ImageTags(path, PLAIN.tags), ImageTags(path, error="broken"))
    assert len(text.splitlines()) == 2
    assert [json.loads(line)["path"] for line in text.splitlines()] == [path, path]
    assert os.fsencode(json.loads(text.splitlines()[0])["path"]) == os.fsencode(path)


def test_csv_has_a_row_for_every_label_and_one_for_none() -> None:
    rows = list(csv.reader(io.StringIO(written("csv", PLAIN, CALIBRATED, NONE, BROKEN), newline="")))
    assert rows == [
        ["path", "label", "score", "probability"],
        ["a.jpg", "dog", "24.125000", ""],
        ["a.jpg", "red bus", "-3.500000", ""],
        ["b.jpg", "dog", "24.125000", "0.987650"],
        ["b.jpg", "red bus", "3.500000", "0.500000"],
        ["none.jpg", "", "", ""],
    ]


@pytest.mark.parametrize("path", [path for path in STRANGE if "\udcff" not in path])
def test_csv_quotes_every_name(path: str) -> None:
    tags = ImageTags(path, (Tag('a "b", c', 1.0),))
    rows = list(csv.reader(io.StringIO(written("csv", tags), newline="")))
    assert rows[1] == [path, 'a "b", c', "1.000000", ""]


def test_csv_spells_bytes_that_are_no_text() -> None:
    assert written("csv", ImageTags("\udcff.jpg")).splitlines()[1] == r"\udcff.jpg,,,"


def test_a_table_for_a_pipe_has_one_line_a_picture_and_cuts_nothing() -> None:
    long = ImageTags("folder/" * 12 + "a.jpg", PLAIN.tags * 20)
    lines = written("table", PLAIN, long, NONE, BROKEN).splitlines()
    assert lines[0].split() == ["picture", "labels", "(score)"]
    assert lines[1] == f"{'a.jpg':<36}  dog 24.12  red bus -3.50"
    assert lines[2].startswith(long.path + "  dog")
    assert lines[2].count("red bus") == 20
    assert lines[3].split() == ["none.jpg", "none", "of", "these"]
    assert len(lines) == 4


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_for_a_terminal_fits_into_it(width: int) -> None:
    from rich.cells import cell_len
    from rich.text import Text

    long = ImageTags("folder/" * 12 + "猫猫猫.jpg", PLAIN.tags * 6)
    lines = [Text.from_ansi(line).plain for line in written("table", PLAIN, long, NONE, width=width).splitlines()]
    assert max(cell_len(line) for line in lines) <= width
    assert any("…" in line and "猫.jpg" in line for line in lines)
    assert sum(line.count("red bus") for line in lines) == 7


def test_a_table_shows_probabilities_as_percent() -> None:
    lines = written("table", CALIBRATED, probabilities=True).splitlines()
    assert lines[0].endswith("(probability)")
    assert lines[1].endswith("dog 99 %  red bus 50 %")


@pytest.mark.parametrize("path", STRANGE)
@pytest.mark.parametrize("width", [None, 200])
def test_a_name_cannot_write_control_characters_into_a_table(path: str, width: int | None) -> None:
    text = written("table", ImageTags(path, (Tag("a\x1b[31m\nb", 1.0),)), width=width)  # type: ignore[arg-type]
    assert len(text.splitlines()) == 2
    assert "\x1b[31m" not in text
    assert r"a\x1b[31m\nb" in text
    assert "\u202e" not in text


def test_a_terminal_gets_colours_and_a_pipe_gets_none() -> None:
    assert "\x1b[" in written("table", PLAIN, width=80)
    assert "\x1b" not in written("table", PLAIN)


@pytest.mark.parametrize("output_format", FORMATS)
def test_an_output_without_a_picture_is_valid(output_format: str) -> None:
    text = written(output_format)
    expected = {"jsonl": "", "csv": "path,label,score,probability\n"}
    assert text == expected.get(output_format, text)


@pytest.mark.parametrize("path", STRANGE)
def test_the_page_takes_every_name(path: str) -> None:
    text = written("html", ImageTags(path, PLAIN.tags), ImageTags(path, error="broken"))
    assert text.rstrip().endswith("</html>")
    assert "\x1b" not in text


def test_an_unknown_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'jsnol' is not one of .*did you mean 'jsonl'"):
        tag_writer("jsnol")


def test_answers_stand_beside_the_labels_in_every_format() -> None:
    (line,) = written("jsonl", ANSWERED).splitlines()
    assert [tag["answer"] for tag in json.loads(line)["tags"]] == ["yes", "uncertain", "no"]
    rows = list(csv.reader(io.StringIO(written("csv", ANSWERED, NONE, answers=True), newline="")))
    assert [row[4] for row in rows] == ["answer", "yes", "uncertain", "no", ""]
    heading, row = written("table", ANSWERED, probabilities=True, answers=True).splitlines()
    assert heading.endswith("labels (probability; ? uncertain)")
    assert row.endswith("dog 97 % yes  cat 40 % ?  cow 1 % no")
    assert "97 % <b>yes</b>" in written("html", ANSWERED, answers=True)


@pytest.mark.parametrize("output_format", ["jsonl", "csv", "table"])
def test_without_answers_nothing_is_said_of_them(output_format: str) -> None:
    text = written(output_format, CALIBRATED, NONE, probabilities=True)
    assert "answer" not in text
    assert "uncertain" not in text


def test_a_table_with_answers_fits_into_80_columns() -> None:
    from rich.text import Text

    many = ImageTags("folder/" * 12 + "a.jpg", ANSWERED.tags * 5)
    lines = [Text.from_ansi(line).plain for line in written("table", many, answers=True, width=80).splitlines()]
    assert max(map(len, lines)) <= 80
    assert sum(line.count(" ?") for line in lines[1:]) == 5

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from clipprompt.errors import UserError
from clipprompt.inference.explain import (
    CaptionAttention,
    ClassAttention,
    ContextWords,
    NearWord,
    VectorWords,
    Yardsticks,
)
from clipprompt.reports.explained import check_explain_format, explained_json, explained_table, how_near, most_attended
from clipprompt.reports.pages.explain_page import explain_page
from tests.reports._pages import Page, assert_self_contained

WORDS = ("[start]", "a", "[bold]dog", "<b>", "[end]")
DOG = ClassAttention("red [bus]", 1.5, (0.0, 0.04, 0.5, 0.4, 0.06))
CAPTION = CaptionAttention("a [bold]dog <b>", WORDS, False, (DOG,))


def _context(*distances: float, label: str | None = None) -> ContextWords:
    vectors = (
        VectorWords("ctx", label, n, 1.0, 1.0, (NearWord("[/red]x", distance), NearWord("<i>", 2.0)))
        for n, distance in enumerate(distances, 1)
    )
    return ContextWords(tuple(vectors), 34_483, Yardsticks(0.33, 0.24))


def _printed(context: ContextWords | None, *captions: CaptionAttention, colours: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=colours, color_system="truecolor" if colours else None)
    console.print(explained_table(context, captions, colours=colours))
    return file.getvalue()


def test_brackets_of_words_and_labels_are_no_markup() -> None:
    text = _printed(_context(0.5, label="c [at]"), CAPTION)
    for part in ("ctx, c [at]", "[/red]x", "red [bus]", "[bold]dog 50 %", "<b> 40 %"):
        assert part in text


def test_colours_shade_what_is_attended_to() -> None:
    text = _printed(None, CAPTION, colours=True)
    assert "[bold]dog" in text
    assert "48;2;245;158;11" in text  # the strongest shade, as a background
    assert "%" not in text


@pytest.mark.parametrize(
    ("distances", "count", "end"),
    [
        ((0.95, 1.1), "None of 2 is clearly", '("chance"); the words say little.'),
        ((0.5, 1.1), "1 of 2 is clearly", '("chance"); of the others the words say little.'),
        ((0.5, 0.6), "2 of 2 are clearly", '("chance").'),
    ],
)
def test_it_is_said_what_distances_are_worth(distances: tuple[float, ...], count: str, end: str) -> None:
    text = how_near(_context(*distances))
    assert "of the 34,483 are 0.33 apart" in text
    assert count in text
    assert text.endswith(end)


def test_the_most_attended_words_come_first_and_small_shares_are_left_out() -> None:
    assert most_attended(WORDS, DOG, 3) == [("[bold]dog", 0.5), ("<b>", 0.4), ("[end]", 0.06)]
    assert len(most_attended(WORDS, DOG, 10)) == 4


def test_json_reads_back() -> None:
    found = json.loads(explained_json(_context(0.5), [CAPTION]))
    assert found["context"]["yardsticks"] == {"random_pair": 0.33, "nearest_word": 0.24}
    assert found["captions"][0]["classes"][0]["weights"] == list(DOG.weights)
    assert json.loads(explained_json(None, [])) == {"context": None, "captions": []}


@pytest.mark.parametrize("name", ["htlm", "", "csv"])
def test_an_unknown_format_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="choose one of table, json, html"):
        check_explain_format(name)


def test_the_page_escapes_everything() -> None:
    hostile = "<script>alert(1)</script>\u202e\n"
    label = ClassAttention(hostile, 1.0, (1.0, 0.0))
    caption = CaptionAttention(hostile, (hostile, "</td>"), True, (label,))
    page = Page(explain_page(hostile, _context(0.5, label=hostile), [caption], facts={hostile: hostile}))
    assert page.open == []
    assert_self_contained(page)
    assert not page.all("script")
    assert page.text.count("<script>alert(1)</script>\\u202e\\n") >= 5
    assert "its end was cut" in page.text


def test_the_page_shades_words_relative_to_the_strongest() -> None:
    page = Page(explain_page("runs/x", None, [CAPTION]))
    styles = [a["style"] for a in page.all("span") if "style" in a]
    assert styles == [f"--weight:{weight}" for weight in ("0", "0.08", "1.0", "0.8", "0.12")]
    assert [a["title"] for a in page.all("span") if "title" in a][2] == "50.0 %"


@pytest.mark.parametrize(
    ("context", "captions", "n_sections"), [(None, 1, 1), (True, 0, 1), (True, 2, 2), (None, 0, 0)]
)
def test_the_page_has_the_parts_that_there_are(context: bool | None, captions: int, n_sections: int) -> None:
    page = Page(explain_page("x", _context(0.5) if context else None, [CAPTION] * captions))
    assert len(page.all("section")) == n_sections
    assert len(page.all("table")) == bool(context) + captions

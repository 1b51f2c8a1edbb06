"""The page of sets with several classes a picture."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from clipprompt.printable import printable
from clipprompt.reports.pages.report_page import render_report_page
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports._pages import Page, assert_self_contained
from tests.reports.multilabel_records import few_shot, partial, record, zero_shot_splits
from tests.reports.protocol_records import both

EVERYTHING = [*partial(shares=(0.1, 0.9)), *few_shot(), *zero_shot_splits()]


def _text(records: list[dict[str, Any]], **more: Any) -> str:
    return render_report_page(summarise_protocols(records), **more)


def _words(records: list[dict[str, Any]], **more: Any) -> str:
    """What a reader sees, with a space between any two elements."""
    text = _text(records, **more).partition("<body>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_a_page_is_whole_and_requests_nothing() -> None:
    page = Page(_text([*EVERYTHING, *both("coop", "dtd", 0.8, 0.6)]))
    assert page.open == []
    assert_self_contained(page)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0


def test_facts_say_labels_and_captions() -> None:
    words = _words(partial(shares=(0.1, 0.9)))
    assert "shots all labels known 10%, 90% captions mini seeds 1, 2, 3" in words
    ensembles = partial(("dualcoop+tai_dpt",), shares=(0.1,), selection="val_map; last")
    assert "kept epoch val_map setting" in _words([*ensembles, *partial(("dualcoop",), selection="val_map")])
    assert "labels known" not in _words(both("coop", "dtd", 0.8, 0.6)), "where every picture has one class"


def test_tables_have_papers_lines() -> None:
    words = _words(partial(("dualcoop",), shares=(0.1, 0.9)))
    assert "voc2007 method 10% 90% dualcoop 62.5 ±1.0 66.5 ±1.0 SARB ‡ (paper) 83.5 92.9 DualCoOp ‡ (paper)" in words


def test_single_classes_stand_in_place_of_the_worst() -> None:
    words = _words([*partial(("tai_dpt",)), record(precision=0.5, known=0.1)])
    assert "voc2007, 10% of labels known class n tai_dpt dualcoop dog 30 68.2 55.0 cat 20 55.8 45.0 How" in words
    assert "Worst classes" not in words
    assert "Single classes" not in _words(both("coop", "dtd", 0.8, 0.6))


def test_plots_are_curves_and_single_classes() -> None:
    assert len(Page(_text(few_shot(datasets=("voc2007", "own")))).all("svg")) == 3 + 2


def test_what_was_tested_and_drawn_is_told() -> None:
    words = _words([record(known=0.1, dataset_options={"difficult": "unknown", "split": "test"})])
    assert "voc2007 all 0 100 3 difficult unknown, split test – voc2007 pict" in words
    assert "seed draw voc2007 all 0 all 10% 1 draw voc2007" in words


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "{{ 7 * 7 }}", "\u202egpj.exe\n\x1b[31m", "x" * 3000])
def test_a_hostile_name_is_shown_and_does_nothing(name: str) -> None:
    facts = {"classnames": [name, "b", "c"], "corpus": name, "learns_from": "both", "weights_by": name}
    page = Page(_text([record("a+b", name, known=0.1, dataset_options={name: name}, selection=name, **facts)]))
    assert not page.all("script")
    assert " ".join(printable(name).split()) in page.text

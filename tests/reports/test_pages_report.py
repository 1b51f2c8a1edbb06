from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clipprompt.printable import printable
from clipprompt.reports.mistakes.predictions import Prediction
from clipprompt.reports.pages.report_page import render_report_page
from clipprompt.reports.protocols.summary import summarise_protocols
from tests.reports._pages import Page, assert_self_contained
from tests.reports.protocol_records import both, record

RUNS = [
    one
    for name in ("dtd", "food101")
    for seed in (1, 2)
    for one in [
        *both("zero_shot", name, 0.5, 0.6),
        *both("coop", name, 0.8 + seed / 100, 0.4, seed=seed),
    ]
]
FOLDER = "/nowhere/at/all"
MISTAKES = [
    Prediction("dtd", "novel", "a/1.jpg", FOLDER, "lined", "woven", 0.9, "coop"),
    Prediction("dtd", "novel", "a/2.jpg", FOLDER, "lined", "lined", 0.9, "coop"),
    Prediction("mini-objects", "all", "mini-objects/test/3", None, "bird", "kite", 0.7, "zero_shot"),
]


def _text(records: list[dict[str, Any]], **more: Any) -> str:
    return render_report_page(summarise_protocols(records), **more)


def _page(records: list[dict[str, Any]], **more: Any) -> Page:
    page = Page(_text(records, **more))
    assert page.open == []
    assert_self_contained(page)
    return page


def _words(records: list[dict[str, Any]], **more: Any) -> str:
    """What a reader sees, with a space between any two elements."""
    text = _text(records, **more).partition("<body>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_a_page_requests_nothing_and_runs_no_script() -> None:
    page = _page(RUNS, predictions=MISTAKES, commands=["clipprompt eval"], incomplete=["coop/dtd"])
    assert not page.all("script")
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    (policy,) = (a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "http" not in _text(RUNS, predictions=MISTAKES).replace("http-equiv", "")


def test_equal_records_make_equal_bytes_in_any_order() -> None:
    assert _text(RUNS, predictions=MISTAKES) == _text(RUNS[::-1], predictions=MISTAKES)


def test_the_title_says_what_was_run() -> None:
    assert _words(RUNS).startswith("base-to-novel: 2 methods on 2 sets backbone")
    assert _words(both("coop", "dtd", 0.8, 0.6)).startswith("base-to-novel: coop on dtd backbone")
    assert _words(RUNS, title="My paper").startswith("My paper backbone")


def test_the_table_has_the_average_first_and_the_best_marked() -> None:
    page, words = _page(RUNS, published=False), _words(RUNS, published=False)
    rows = "method Base Novel HM zero_shot 50.0 60.0 54.5 coop 81.5 ±0.7 40.0 ±0.0 53.7 ±0.2"
    assert f"average of 2 sets {rows} food101 {rows} dtd † {rows} HM:" in words
    assert len(page.all("td", "best")) == 9


def test_papers_stand_below_the_numbers_they_belong_to() -> None:
    words = _words(RUNS)
    assert "method Base paper Novel paper HM paper zero_shot 50.0 53.2 60.0 59.9 54.5 56.4" in words
    assert "coop 81.5 ±0.7 79.4* 40.0 ±0.0 41.2* 53.7 ±0.2 54.2* CoCoOp 77.0 56.0 64.9" in words, "ours has no CoCoOp"
    assert len(_page(RUNS).all("small", "differs")) == 9
    assert "paper" not in _words(RUNS, published=False)


def test_single_runs_have_no_deviation() -> None:
    assert "own method Base Novel HM coop 80.0 60.0 68.6" in _words(both("coop", "own", 0.8, 0.6))


@pytest.mark.parametrize("protocol", ["cross-dataset", "domain"])
def test_sets_stand_from_above_where_there_is_one_number(protocol: str) -> None:
    names = ["imagenet", "imagenet_v2", "imagenet_r"]
    more = {"protocol": protocol, "trained_on": "imagenet", "draw_hash": "d"}
    runs = [record(method, name, 0.6, "all", **more) for method in ("coop", "maple") for name in names]
    assert "set coop maple imagenet (source) 60.0 60.0 imagenet_v2 60.0 60.0" in _words(runs)
    assert len(_page(runs).all("svg")) == 4


def test_sets_stand_from_left_to_right_where_names_of_rows_are_long() -> None:
    protocol = {"protocol": "zero-shot"}
    sentences = ["a flower photo of a {}.", "a type of flower, {}."]
    runs = [record("zero_shot", "dtd", 0.6, "all", options={"learner.templates": [s]}, **protocol) for s in sentences]
    row = "method dtd † zero_shot, templates=a flower photo of a {}. 60.0"
    assert row in _words(runs)


def test_few_shot_has_curves() -> None:
    runs = [
        record("coop", "dtd", 0.5 + k / 50, "all", protocol="few-shot", shots=k, draw_hash=str(k)) for k in (1, 4, 16)
    ]
    (curve,) = _page(runs).all("svg")
    assert curve["aria-label"] == "dtd †: coop: 1 shot 52.0, 4 shots 58.0, 16 shots 82.0"


def test_tables_that_do_not_compare_are_sections_of_their_own() -> None:
    page = _page([*both("coop", "dtd", 0.8, 0.6), *both("coop", "dtd", 0.7, 0.5, backbone="RN50")])
    assert len(page.all("h2")) == 3, "one for each, and one for how they came about"
    assert "Results" in page.text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0, "of two tables with the same plots"


def test_worst_classes_are_named_by_method_and_subset() -> None:
    classes = {"classnames": ["fine", "poor"], "per_class_accuracy": [0.9, 0.1]}
    words = _words(both("coop", "dtd", 0.8, 0.6, **classes))
    assert "dtd base classes coop poor 10 fine 90 novel classes coop poor 10 fine 90" in words


def test_confusions_are_shares_of_a_class() -> None:
    words = _words(RUNS, predictions=MISTAKES)
    assert "dtd novel classes coop lined → woven 50 % 1 of 2" in words
    assert "mini-objects zero_shot bird → kite 100 % 1 of 1" in words
    assert "Classes taken for others" not in _words(RUNS)


def test_all_right_says_so() -> None:
    page = _page(RUNS, predictions=MISTAKES[1:2])
    assert "no mistake" in page.text
    assert "Misclassified" not in page.text


def test_mistakes_are_pictures_or_say_why_not() -> None:
    page = _page(RUNS, predictions=MISTAKES)
    assert "surely. dtd no such file" in _words(RUNS, predictions=MISTAKES), "a heading for each set"
    (image,) = page.all("img")
    picture = Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2])))
    assert picture.format == "JPEG"
    assert max(picture.size) <= 200
    assert "no such file or directory lined → woven 90 %, coop" in _words(RUNS, predictions=MISTAKES)
    assert FOLDER not in _text(RUNS, predictions=MISTAKES), "where files lie is nobody's business"


def test_mistakes_of_one_method_name_it_where_others_were_tested() -> None:
    right = Prediction("dtd", "novel", "a/1.jpg", FOLDER, "lined", "lined", 0.9, "maple")
    assert "lined → woven 90 %, coop" not in _words(RUNS, predictions=MISTAKES[:1])
    assert "lined → woven 90 %, coop" in _words(RUNS, predictions=[MISTAKES[0], right])


def test_a_page_says_how_its_numbers_came_about() -> None:
    facts = {"n_images": 1234, "split_source": "split.json", "split_sha256": "5" * 64, "split_hash": "a" * 64}
    runs = [one | facts | {"class_hash": "b" * 64} for one in RUNS]
    words = _words(runs, commands=["clipprompt eval base-to-novel -o x"])
    for part in (
        "backbone ViT-B-16 (openai), fp32, weights ffffffffffff shots 16 seeds 1, 2 kept epoch last setting inductive",
        "learning took 4 s",
        "To run them again clipprompt eval base-to-novel -o x",
        "dtd base 0 1,234 2 split.json 555555555555 aaaaaaaaaaaa bbbbbbbbbbbb",
        "dtd base 0 16 1 draw dtd 1 0",
        "Settings of coop learner.n_ctx 4 train.epochs 50 train.seed 1 | 2",
        "python 3.12.0 torch 2.6.0",
    ):
        assert part in words


def test_runs_that_lack_are_named_at_the_top() -> None:
    page = _page(RUNS, incomplete=["runs/coop/eurosat/base-16shots-seed1"])
    assert "1 run is not complete" in page.text
    assert "runs/coop/eurosat/base-16shots-seed1" in page.text.partition("average")[0]
    words = _words(RUNS, incomplete=[f"run {n}" for n in range(1000)])
    assert "1000 runs are not complete" in words
    assert "run 19 and 980 more" in words


HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% endraw %}",
    "\u202egpj.exe\n\x1b[31m",
    "caf\udce9",
    "日本語 😀 Ünï",
    "]]> --> <!-- </svg></style>",
    "costs $5 or $6_x^y",
    "&amp;&lt;",
    "x" * 3000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_shown_and_does_nothing(name: str) -> None:
    facts = {"classnames": [name, "b"], "split_source": name, "selection": name, "backbone": name, "pretrained": name}
    records = [
        one
        for method in (name, "coop")
        for one in both(method, name, 0.8, 0.6, **facts, versions={name: name}, options={name: name}, device=name)
    ]
    mistakes = [
        Prediction(name, name, name, FOLDER, name, "b", 0.5, name),
        Prediction(name, name, "y", None, "b", name, 0.4),
    ]
    page = _page(records, title=name, predictions=mistakes, commands=[name], incomplete=[name])
    assert not page.all("script")
    assert not page.all("img"), "nothing of this is a picture"
    assert len(page.all("style")) == 1
    assert all("body" not in attributes.get("style", "") for _, attributes in page.elements)
    assert " ".join(printable(name).split()) in page.text
    _text(records, title=name, predictions=mistakes).encode("utf-8")


def test_a_page_of_many_rows_and_sets_is_whole() -> None:
    runs = [one for m in range(12) for d in range(3) for one in both(f"method {m}", f"a set {d}", 0.5, 0.4)]
    page = _page(runs)
    assert len(page.all("svg")) == 4 + 2
    assert len(page.all("table", "numbers")) == 4


def test_nothing_is_written_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _text(RUNS, predictions=MISTAKES)
    assert not list(tmp_path.iterdir())

from __future__ import annotations

import base64
import hashlib
import io
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from clipprompt.inference import ImageTags, Tag
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import sample_scene
from clipprompt.printable import printable
from clipprompt.reports.pages.tag_page import N_HEAT_MAPS, NONE, TagPage
from tests.reports._pages import Page, assert_self_contained

HEAT = np.arange(16, dtype=np.float32).reshape(4, 4)


def _photo(width: int = 80, height: int = 60) -> Image.Image:
    return Image.new("RGB", (width, height), (200, 120, 40))


def _tagged(path: str = "a.jpg", *tags: Tag, **more: object) -> ImageTags:
    return ImageTags(path, tags, size=(640, 480), thumbnail=_photo(), **more)  # type: ignore[arg-type]


def _text(results: Sequence[ImageTags], note: str = "", **more: object) -> str:
    page = TagPage(**more)  # type: ignore[arg-type]
    return "".join([page.head(), *map(page.image, results), page.foot(note)])


def _page(results: Sequence[ImageTags], note: str = "", **more: object) -> Page:
    page = Page(_text(results, note, **more))
    assert page.open == []
    return page


DOG = Tag("dog", 2.5, 0.93, HEAT)
MANY = [_tagged(f"{n}.jpg", DOG, Tag("red bus", 1.0, 0.5)) for n in range(7)]


def test_a_page_requests_nothing_and_runs_no_script_but_its_own() -> None:
    page = _page([*MANY, ImageTags("x.jpg", error="empty")], labels=["dog"], facts={"method": "tai_dpt"})
    assert_self_contained(page)
    assert len(page.all("script")) == 1
    digest = base64.b64encode(hashlib.sha256(page.raw["script"].encode()).digest()).decode()
    assert any(f"script-src 'sha256-{digest}'" in meta.get("content", "") for meta in page.all("meta"))


NAMES = [
    "<script>alert(1)</script>.jpg",
    "a\nb\r\nc.jpg",
    "\"'><img src=x onerror=alert(1)>.png",
    "folder/{{ 7 * 7 }}{% endraw %}.jpg",
    "\u202egpj.exe",
    "caf\udce9.jpg",  # a byte that is no text, as os.fsdecode gives it
    "\x1b[31mred\x00.jpg",
    "日本語 😀 Ünï.jpg",
    "&amp;&lt;.jpg",
    "x" * 5000 + ".jpg",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_hostile_name_is_shown_and_does_nothing(name: str) -> None:
    results = [_tagged(name, Tag(name, 1.0, 0.5, HEAT)), ImageTags(name, error=f"bad {name}")]
    page = _page(results * 4, title="Tags of {{ x }} <b>")
    harmless = _page([_tagged("a.jpg", DOG), ImageTags("b.jpg", error="bad")] * 4)
    assert_self_contained(page)
    assert len(page.all("img")) == len(harmless.all("img"))
    assert len(page.all("script")) == 1
    assert page.all("h2")[0]["title"] == printable(name)
    assert " ".join(printable(name).split()) in page.text
    _text(results).encode("utf-8")


def test_names_do_not_reach_the_styles() -> None:
    tag = Tag("dog;}body{display:none", 1.0, 0.5, HEAT)
    page = _page([_tagged("a.jpg", tag)], labels=["</style><script>"])
    assert all("body" not in attributes.get("style", "") for _, attributes in page.elements)
    assert page.raw["style"].count("display:none") == 0


def test_probabilities_are_bars_from_zero_to_one() -> None:
    page = _page([_tagged("a.jpg", Tag("dog", 25.0, 0.934), Tag("cat", 24.0, 0.05))])
    assert [bar["style"] for bar in page.all("span", "probability")] == ["--number:0.9340", "--number:0.0500"]
    assert "dog93 % cat5 %" in page.text


def test_answers_stand_behind_the_values_and_a_line_says_what_they_mean() -> None:
    page = _page([_tagged("a.jpg", Tag("dog", 3.0, 0.9, answer="yes"), Tag("cat", 2.0, 0.4, answer="uncertain"))])
    assert "dog90 % yes cat40 % uncertain" in page.text
    assert [tag["class"] for tag in page.all("div", "tag")] == ["tag yes", "tag uncertain"]
    assert "sure of it" in page.text
    assert "sure of it" not in _page([_tagged("a.jpg", Tag("dog", 3.0, 0.9))]).text


def test_scores_share_one_scale_on_which_the_lowest_can_be_seen() -> None:
    page = _page([_tagged("a.jpg", Tag("dog", 30.0)), _tagged("b.jpg", Tag("cat", 20.0), Tag("cow", -10.0))])
    assert [bar["style"] for bar in page.all("span", "score")] == [f"--number:{n}.0000" for n in (30, 20, -10)]
    assert "--low: -16.0000; --high: 30.0000" in page.raw["style"]
    assert "between -10.00 and 30.00" in page.text


def test_one_score_alone_is_a_full_bar() -> None:
    assert "--low: 4.0000; --high: 5.0000" in _page([_tagged("a.jpg", Tag("dog", 5.0))]).raw["style"]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_spoils_no_scale(score: float) -> None:
    page = _page([_tagged("a.jpg", Tag("dog", score), Tag("cat", 1.0)), _tagged("b.jpg", Tag("dog", 2.0))])
    assert "--low: 0.8500; --high: 2.0000" in page.raw["style"]


def test_a_picture_without_tags_says_so() -> None:
    page = _page([_tagged("a.jpg")])
    assert NONE in page.text
    assert page.all("img")[0]["alt"] == f"a.jpg: {NONE}"
    assert not page.all("ol")


def test_the_alternative_text_is_name_and_labels() -> None:
    assert _page([_tagged("x/a.jpg", DOG, Tag("cat", 1.0))]).all("img")[0]["alt"] == "a.jpg: dog, cat"


def test_a_heat_map_lies_over_what_the_model_saw() -> None:
    (heat,) = _page([_tagged("a.jpg", DOG, crop=(0.125, 0, 0.75, 1))]).all("img", "heat")
    assert heat["style"] == "left:12.50%;top:0.00%;width:75.00%;height:100.00%"


def test_only_labels_with_a_heat_map_can_be_pointed_at() -> None:
    flat = Tag("flat", 1.0, 0.4, np.zeros((4, 4), np.float32))
    page = _page([_tagged("a.jpg", Tag("cat", 1.0, 0.5), DOG, flat)])
    assert [button["data-label"] for button in page.all("button")] == ["dog"]
    (heat,) = page.all("img", "heat")
    assert "heat2" in heat["class"].split()  # the second label's, as the style sheet counts


def test_the_style_sheet_has_a_rule_for_every_heat_map() -> None:
    page = _page([_tagged("a.jpg", *(Tag(str(n), 1.0, 0.5, HEAT) for n in range(N_HEAT_MAPS + 3)))])
    classes = [heat["class"].split()[1] for heat in page.all("img", "heat")]
    assert classes == [f"heat{n}" for n in range(1, N_HEAT_MAPS + 1)]
    assert all(f"li:nth-child({n}) > button:hover) .heat{n}," in page.raw["style"] for n in range(1, N_HEAT_MAPS + 1))
    assert len(page.all("li")) == N_HEAT_MAPS + 3


@pytest.mark.parametrize(("size", "shape"), [((640, 480), "wide"), ((480, 640), "tall"), ((500, 500), "tall")])
def test_a_picture_keeps_its_shape(size: tuple[int, int], shape: str) -> None:
    page = _page([ImageTags("a.jpg", (DOG,), size=size, thumbnail=_photo(*size))])
    (picture,) = page.all("div", "picture")
    assert shape in picture["class"].split()
    assert picture["style"] == f"aspect-ratio:{size[0] / size[1]:.4f}"


def test_a_picture_without_a_thumbnail_still_has_its_labels() -> None:
    page = _page([ImageTags("a.jpg", (DOG,))])
    assert "no preview" in page.text
    assert not page.all("img")
    assert not page.all("button")


def test_a_large_thumbnail_is_made_small_and_the_callers_stays() -> None:
    large = _photo(2000, 1000)
    page = _page([ImageTags("a.jpg", (), thumbnail=large)])
    data = base64.b64decode(page.all("img")[0]["src"].partition(",")[2])
    with Image.open(io.BytesIO(data)) as shown:
        assert (shown.format, shown.size) == ("JPEG", (320, 160))
    assert large.size == (2000, 1000)


def test_thumbnails_with_transparency_are_taken() -> None:
    assert _page([ImageTags("a.png", (), thumbnail=Image.new("RGBA", (5, 5)))]).all("img", "thumbnail")


def test_skipped_files_are_listed_with_the_reason_and_take_no_card() -> None:
    page = TagPage()
    assert page.image(ImageTags("broken.jpg", error="it is cut short")) == ""
    text = Page(page.head() + page.foot()).text
    assert "pictures0 skipped1" in text
    assert "1 file was skipped broken.jpg it is cut short" in text


def test_a_thousand_skipped_files_are_counted_and_the_first_are_named() -> None:
    text = _page([ImageTags(f"{n}.jpg", error="no picture") for n in range(1000)]).text
    assert "1,000 files were skipped" in text
    assert "499.jpg" in text
    assert "500.jpg" not in text
    assert "and 500 more" in text


def test_the_summary_has_the_facts_and_the_labels() -> None:
    page = _page(MANY, title="Holiday", labels=["dog", "red bus"], facts={"method": "tai_dpt", "threshold": "0.5"})
    for part in ("Holiday", "pictures7", "labels2", "methodtai_dpt", "threshold0.5", "dog · red bus"):
        assert part in page.text


@pytest.mark.parametrize(("n", "has_filter"), [(1, False), (5, False), (6, True)])
def test_more_than_a_handful_of_pictures_gets_a_filter(n: int, has_filter: bool) -> None:
    page = _page((MANY * 2)[:n])
    assert bool(page.all("input")) == has_filter
    if has_filter:
        assert [chip["data-chip"] for chip in page.all("button", "chip")] == ["dog", "red bus"]
        assert any(a.get("id") == "controls" and "hidden" in a for a in page.all("div")), "useless without its script"


@pytest.mark.parametrize("n", [0, 1, 3])
def test_an_interrupted_page_is_whole_and_says_so(n: int) -> None:
    page = _page(MANY[:n], note="Stopped <early>.")
    assert "Stopped <early>." in page.text
    assert len(page.all("article")) == n


def test_every_piece_but_the_frame_is_closed_by_itself() -> None:
    page = TagPage()
    assert Page(page.head()).open == ["html", "body", "main"]
    assert Page(page.image(MANY[0])).open == []


def test_memory_does_not_grow_with_the_pictures() -> None:
    page = TagPage()
    page.image(_tagged("first.jpg", DOG))
    before = len(pickle.dumps(page))
    for number in range(300):
        page.image(_tagged(f"{number}.jpg", DOG))
    assert len(pickle.dumps(page)) - before < 50


def test_a_thousand_pictures_stay_below_40_megabytes() -> None:
    heat = np.random.default_rng(0)
    total = 0
    page = TagPage()
    for seed in range(8):
        noisy = np.asarray(render_scene(sample_scene(seed), 320), dtype=np.int16)
        noisy = noisy + heat.integers(-12, 12, noisy.shape)  # photos are noisier than drawings
        thumbnail = Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).resize((320, 240))
        tags = tuple(Tag(str(n), 1.0, 0.5, heat.random((14, 14))) for n in range(5))
        total += len(page.image(ImageTags(f"{seed}.jpg", tags, thumbnail=thumbnail)))
    assert total / 8 < 40_000

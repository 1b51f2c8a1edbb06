from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.reports.drawing._bars import Bar, bar_panels
from clipprompt.reports.drawing.grid import save_panels
from clipprompt.reports.drawing.panel import COLOURS, SHAPES, label, room, styles
from clipprompt.reports.drawing.svg import panel_svg
from tests.reports._pages import Page

HOSTILE = [
    "costs $5 or $6",
    "a_b^c \\frac{1}{2}",
    "<script>alert(1)</script>",
    "\"quoted\" & 'quoted'",
    "\u202egpj.exe\n\x1b[31m",
    "日本語 😀 Ünï",
    "fill: #222222",
    "caf\udce9",
    "x" * 500,
    "",
]


def _bars(*names: str) -> dict[str, list[Bar]]:
    return {"a set": [Bar(name, 40.0 + place, 1.5) for place, name in enumerate(names)]}


def test_twelve_methods_look_different() -> None:
    names = [f"method {n}" for n in range(12)]
    assert len(set(styles(names).values())) == 12
    assert len(set(COLOURS)) == 7
    assert len(set(SHAPES)) == len({look.sign for look in styles(names).values()}) == 12


def test_looks_depend_on_the_order_alone() -> None:
    assert styles(["a", "b", "a", "c"]) == styles(["a", "b", "c"])


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_any_name_is_drawn(tmp_path: Path, ending: str) -> None:
    looks = styles(HOSTILE)
    panels = bar_panels(_bars(*HOSTILE) | {HOSTILE[0]: [Bar(HOSTILE[1], 3.0)]}, looks)
    save_panels(panels, tmp_path / f"x.{ending}", title=" ".join(HOSTILE[:8]), keys=list(looks.items()))
    assert (tmp_path / f"x.{ending}").stat().st_size > 10_000


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_is_text_in_a_page(name: str) -> None:
    (panel,) = bar_panels(_bars(name), styles([name]))
    page = Page(panel_svg(panel, "p"))
    assert page.open == []
    assert not page.all("script")
    assert label(name).replace(r"\$", "$").strip() in page.text
    assert not any(attributes.get("style", "").startswith("fill: #222222") for _, attributes in page.elements)


def test_a_svg_of_a_page_has_the_greys_of_the_page_and_no_id_twice() -> None:
    panels = bar_panels({"a": [Bar("x", 30.0, 2.0)], "b": [Bar("x", 30.0, 2.0)]}, styles(["x"]))
    texts = [panel_svg(panel, f"p{number}-") for number, panel in enumerate(panels)]
    page = Page("".join(texts))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0
    for text in texts:
        assert all(word in text for word in ("var(--ink)", "var(--line)", "var(--muted)", COLOURS[0].lower()))
        assert not any(word in text for word in ("#222222", "#ffffff", "http", "font-family", "<style", "<metadata"))
    used = [a["xlink:href"] for a in page.all("use")] + [
        a["clip-path"][4:-1] for _, a in page.elements if "clip-path" in a
    ]
    assert {name.removeprefix("#") for name in used} == set(ids)


def test_a_picture_is_described_in_words() -> None:
    (panel,) = bar_panels({"a set": [Bar("coop", 30.0, 2.0, flag=" *"), Bar("maple", None)]}, styles(["coop", "maple"]))
    assert Page(panel_svg(panel, "p")).all("svg")[0]["aria-label"] == "a set: coop 30.0 ± 2.0 *; maple not run"


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_equal_pictures_are_equal_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("one", "two"):
        save_panels(bar_panels(_bars("x"), styles(["x"])), tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


@pytest.mark.parametrize(("n", "shape"), [(1, (1, 1)), (3, (3, 1)), (4, (3, 2)), (7, (4, 2)), (16, (4, 4))])
def test_panels_stand_in_a_grid(tmp_path: Path, n: int, shape: tuple[int, int]) -> None:
    panels = bar_panels({f"set {k}": [Bar("x", 50.0)] for k in range(n)}, styles(["x"]))
    save_panels(panels, tmp_path / "x.png")
    width, height = panels[0].size
    assert open_image(tmp_path / "x.png").width == pytest.approx(130 * (shape[0] * (width + 0.3) + 0.3), abs=2)
    assert open_image(tmp_path / "x.png").height == pytest.approx(130 * (shape[1] * (height + 0.6) + 0.3), abs=2)


def test_many_keys_take_several_rows_and_stay_inside(tmp_path: Path) -> None:
    names = [f"a method with a name of some length {n}" for n in range(12)]
    looks = styles(names)
    save_panels(bar_panels(_bars(names[0]), looks), tmp_path / "x.png", keys=list(looks.items()))
    pixels = np.asarray(open_image(tmp_path / "x.png"))
    assert (pixels[:, -8:] == 255).all()
    for colour in COLOURS:
        assert (np.abs(pixels / 255 - to_rgb(colour)).max(-1) < 0.01).sum() > 20


@pytest.mark.parametrize("name", ["x.jpeg", "x", "x.sgv"])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="its ending must be one of png, pdf, svg"):
        save_panels(bar_panels(_bars("x"), styles(["x"])), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_long_names_get_room_and_very_long_ones_are_cut() -> None:
    assert room(["x" * 20]) > room(["x"])
    assert room(["x" * 500]) == room(["x" * 32])
    assert room(["日本語"]) == room(["x" * 6])
    assert room([]) == 0


def test_long_names_keep_their_ends_by_which_they_differ() -> None:
    names = [f"coop, class_token_position={place}, n_ctx=16" for place in ("front", "middle")]
    assert [label(name) for name in names] == [f"coop,…position={place}, n_ctx=16" for place in ("front", "middle")]
    assert [len(label("x" * n)) for n in (31, 32, 33, 300)] == [31, 32, 32, 32]
    assert label("dualcoop+tai_dpt (transductive)") == "dualcoop+tai_dpt (transductive)"


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        ("dualcoop (captions + images), n_ctx=16", "dualcoop…+ images), n_ctx=16"),
        ("caption_dual+tai_dpt:images (transductive)", "caption…:images (transductive)"),
        (f"coop ({'x' * 40})", f"coop…{'x' * 26})"),
    ],
)
def test_names_are_cut_between_words_unless_one_is_too_long(name: str, cut: str) -> None:
    assert label(name) == cut

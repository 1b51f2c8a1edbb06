from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.reports.mistakes.contact_sheet import (
    MOST,
    SIDE,
    choose_mistakes,
    open_tiles,
    tile_words,
    write_contact_sheet,
)
from clipprompt.reports.mistakes.predictions import Prediction

TEAL = (0, 128, 128)


def _mistake(path: str, probability: float = 0.5, folder: Path | str | None = None, **more: str) -> Prediction:
    facts = {"dataset": "photos", "subset": "all", "truth": "cat", "predicted": "dog", "method": "coop"} | more
    return Prediction(path=path, folder=None if folder is None else str(folder), probability=probability, **facts)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in (("wide.png", (400, 100)), ("tall.png", (30, 90)), ("tiny.png", (1, 1))):
        Image.new("RGB", size, TEAL).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (folder / "empty.jpg").touch()
    (folder / "page.png").write_text("<html>")
    return folder


def test_the_most_confident_mistakes_of_every_set_are_chosen_in_turn() -> None:
    many = [_mistake(f"{n}.jpg", 0.9 - n / 1000) for n in range(100)]
    few = [_mistake(f"{n}.jpg", 0.2 - n / 1000, dataset="eurosat") for n in range(3)]
    chosen = choose_mistakes([*reversed(many), *few])
    assert len(chosen) == MOST
    assert [one.path for one in chosen[:3]] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [one.dataset for one in chosen].count("eurosat") == 3
    assert chosen[3:] == many[: MOST - 3]
    assert choose_mistakes([*few, *many]) == chosen


def test_a_picture_is_shown_once_with_its_most_confident_mistake() -> None:
    runs = [_mistake("a.jpg", 0.4), _mistake("a.jpg", 0.8, method="maple"), _mistake("a.jpg", 0.6)]
    assert [one.method for one in choose_mistakes(runs)] == ["maple"]


def test_what_is_right_is_no_mistake() -> None:
    assert choose_mistakes([_mistake("a.jpg", predicted="cat")]) == []


@pytest.mark.parametrize("name", ["wide.png", "tall.png", "tiny.png"])
def test_pictures_are_opened_small(photos: Path, name: str) -> None:
    (tile,) = open_tiles([_mistake(name, folder=photos)])
    assert tile.picture is not None
    assert max(tile.picture.size) <= SIDE
    assert (np.asarray(tile.picture) == TEAL).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lost.jpg", "No such file"),
        ("broken.jpg", ""),
        ("empty.jpg", "empty"),
        ("page.png", "web page"),
        ("", "folder"),
    ],
)
def test_a_picture_that_cannot_be_opened_says_why(photos: Path, name: str, reason: str) -> None:
    (tile,) = open_tiles([_mistake(name, folder=photos)])
    assert tile.picture is None
    assert reason.lower() in tile.reason.lower()
    assert tile.reason
    assert str(photos) not in tile.reason


def test_drawn_pictures_are_drawn_again() -> None:
    (tile,) = open_tiles([_mistake("mini-objects/test/3", dataset="mini-objects")])
    assert tile.picture is not None
    assert len(np.unique(np.asarray(tile.picture).reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize(
    ("dataset", "path", "reason"),
    [
        ("mini-objects", "mini-objects/test/999999", "mini-objects has no such picture"),
        ("mini-objects", "../../etc/passwd", "mini-objects has no such picture"),
        ("mini-objets", "mini-objects/test/3", "did you mean 'mini-objects'"),
        ("photos", "a.jpg", "there is no drawn set 'photos'"),
    ],
)
def test_what_no_drawn_set_has_is_a_tile_with_a_reason(dataset: str, path: str, reason: str) -> None:
    (tile,) = open_tiles([_mistake(path, dataset=dataset)])
    assert tile.picture is None
    assert reason in tile.reason


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_sheet_is_the_same_bytes_each_time(tmp_path: Path, photos: Path, ending: str) -> None:
    mistakes = [_mistake(name, folder=photos) for name in ("wide.png", "lost.jpg", "tall.png")]
    for name in ("one", "two"):
        assert write_contact_sheet(mistakes, tmp_path / f"{name}.{ending}") == 1
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_a_sheet_holds_every_picture(tmp_path: Path, photos: Path) -> None:
    mistakes = [_mistake("wide.png", 0.9, photos), *(_mistake(f"{n}.jpg", 0.1, photos) for n in range(50))]
    assert write_contact_sheet(mistakes, tmp_path / "sheet.png") == MOST - 1
    sheet = open_image(tmp_path / "sheet.png")
    assert sheet.size[0] == pytest.approx(130 * (8 * 1.51 + 0.16), abs=2)
    assert sheet.size[1] == pytest.approx(130 * (5 * 2.01 + 0.5), abs=2)
    assert (np.abs(np.asarray(sheet).astype(int) - TEAL).max(-1) < 8).sum() > 5000


def test_any_name_is_drawn(tmp_path: Path, photos: Path) -> None:
    hostile = "$x_1$ <b>\u202e\n\x1b[31m日本"
    mistake = _mistake("wide.png", folder=photos, truth=hostile, predicted="x" * 300, method=hostile)
    assert write_contact_sheet([mistake, _mistake("tall.png", folder=photos)], tmp_path / "x.svg") == 0
    assert b"\x1b" not in (tmp_path / "x.svg").read_bytes()


def test_words_say_what_differs_between_pictures() -> None:
    assert tile_words(_mistake("a", 0.876)) == ("cat", "→ dog", "88 %")
    assert tile_words(_mistake("a", 0.876), ["method", "dataset"])[2] == "88 %, coop, photos"


def test_a_sheet_of_one_methods_mistakes_names_it_where_others_were_tested(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("clipprompt.reports.mistakes.contact_sheet.label", lambda text, _: written.append(text) or text)
    wrong, right = _mistake("tall.png", folder=photos), _mistake("wide.png", predicted="cat", method="maple")
    write_contact_sheet([wrong], tmp_path / "alone.png")
    assert written == ["cat", "→ dog", "50 %"]
    write_contact_sheet([wrong, right], tmp_path / "both.png")
    assert written[3:] == ["cat", "→ dog", "50 %, coop"]


@pytest.mark.parametrize(
    ("mistakes", "name", "message"),
    [([], "x.png", "no misclassified picture"), ([_mistake("a")], "x.jpg", "its ending must be one of png, pdf, svg")],
    ids=["nothing", "ending"],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, mistakes: list[Prediction], name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_contact_sheet(mistakes, tmp_path / name)
    assert not list(tmp_path.iterdir())

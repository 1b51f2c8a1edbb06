from __future__ import annotations

import pytest

from clipprompt.errors import UserError
from clipprompt.evaluation.protocols.methods import Method, parse_method
from clipprompt.learners import list_learners


@pytest.mark.parametrize("name", list_learners())
def test_every_learner_is_a_method_with_its_own_source(name: str) -> None:
    expected = {"zero_shot": None, "tai_dpt": "captions"}.get(name, "images")
    assert parse_method(name) == Method(name, expected)
    assert parse_method(name).learner == name


@pytest.mark.parametrize(
    ("text", "spelling", "learns_from"),
    [
        ("tai_dpt:images", "tai_dpt:images", "images"),
        ("tai_dpt:captions", "tai_dpt", "captions"),
        ("tai_dpt:both", "tai_dpt:both", "both"),
        ("caption_dual:captions", "caption_dual:captions", "captions"),
        ("dualcoop:images", "dualcoop", "images"),
        (" dualcoop ", "dualcoop", "images"),
        ("tai_dpt + dualcoop:images", "dualcoop+tai_dpt", "both"),
        ("tai_dpt:images+dualcoop", "dualcoop+tai_dpt:images", "images"),
        ("zero_shot+tai_dpt", "tai_dpt+zero_shot", "captions"),
        ("zero_shot+coop+tai_dpt", "coop+tai_dpt+zero_shot", "both"),
        ("tai_dpt+tai_dpt:images", "tai_dpt+tai_dpt:images", "both"),
    ],
)
def test_a_method_has_one_spelling(text: str, spelling: str, learns_from: str) -> None:
    method = parse_method(text)
    assert (method.spelling, method.learns_from) == (spelling, learns_from)
    assert parse_method(spelling) == method


def test_an_ensemble_is_its_members_in_one_order() -> None:
    method = parse_method("tai_dpt+dualcoop")
    assert method.members == (parse_method("dualcoop"), parse_method("tai_dpt"))
    assert method.learners == method.members
    assert method.members[0].learners == (method.members[0],)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cop", r"no method 'cop' \(did you mean 'coop'\?\)"),
        ("", "no method ''"),
        ("dualcop+tai_dpt", "did you mean 'dualcoop'"),
        ("dualcoop+", r"'dualcoop\+' lacks a member; give two or more, as in dualcoop\+tai_dpt"),
        ("+", "lacks a member"),
        ("tai_dpt+tai_dpt:captions", r"has tai_dpt twice; an ensemble is of different members"),
        ("tai_dpt:image", r"images, captions, both, not from 'image' \(did you mean 'images'\?\)"),
        ("tai_dpt:", "not from ''"),
        ("coop:captions", "coop learns from images alone; leave out :captions"),
        ("dualcoop:both", "dualcoop learns from images alone"),
        ("zero_shot:images", "zero_shot learns nothing, from images neither; leave out :images"),
    ],
)
def test_what_is_no_method_is_one_line_that_names_it(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_method(text)
    assert "\n" not in str(caught.value)

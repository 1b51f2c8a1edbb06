from __future__ import annotations

from pathlib import Path

import pytest

from clipprompt.errors import UserError
from clipprompt.training.templates import load_templates, template_sentences


def test_the_shipped_list_is_long_plain_and_without_repetition() -> None:
    templates = load_templates(True)
    assert len(templates) >= 50
    assert len(set(templates)) == len(templates)
    assert all(template.endswith(".") and template.isascii() for template in templates)


def test_every_class_gets_every_sentence() -> None:
    sentences, labels = template_sentences(["a {}.", "one {} here."], ["cat", "hot_dog"])
    assert sentences == ["a cat.", "one cat here.", "a hot dog.", "one hot dog here."]
    assert labels == [[0], [0], [1], [1]]


def test_a_class_name_with_braces_stays_as_it_is() -> None:
    assert template_sentences(["a {}."], ["{x}"])[0] == ["a {x}."]


def test_no_templates_add_nothing() -> None:
    assert load_templates(False) == []
    assert template_sentences([], ["cat"]) == ([], [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("templates: []", "must be a list of sentences"),
        ("other: ['a {}.']", "must be a list of sentences"),
        ("templates: ['a cat.']", "template 'a cat.' must be a sentence with {} once"),
        ("templates: ['{} and {}']", "template '{} and {}' must be a sentence with {} once"),
        ("templates: [3]", "template 3 must be"),
        ("templates: [", "is not valid YAML"),
    ],
)
def test_a_wrong_file_is_named(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        load_templates(str(path))
    assert message in str(error.value)
    assert str(path) in str(error.value)

from __future__ import annotations

import pytest

from clipprompt.backbone._templates import list_templates, named_templates, resolve_templates
from clipprompt.errors import UserError


@pytest.mark.parametrize("name", list_templates())
def test_every_sentence_has_one_place_for_the_name(name: str) -> None:
    assert all(sentence.count("{}") == 1 and sentence.strip() == sentence for sentence in named_templates(name))


@pytest.mark.parametrize(("name", "count"), [("clip_imagenet_80", 80), ("clip_imagenet_7", 7), ("oxford_pets", 1)])
def test_sets_hold_as_many_different_sentences_as_published(name: str, count: int) -> None:
    assert len(set(named_templates(name))) == len(named_templates(name)) == count


def test_the_seven_are_some_of_the_eighty() -> None:
    assert set(named_templates("clip_imagenet_7")) < set(named_templates("clip_imagenet_80"))


def test_data_sets_have_the_published_sentences() -> None:
    assert len(list_templates()) == 2 + 15 + 5 + 19  # CLIP's, CoOp's data sets, FGVC, VTAB-1k
    assert named_templates("dtd") == ("{} texture.",)
    assert named_templates("food101") == ("a photo of {}, a type of food.",)
    assert named_templates("imagenet") == ("a photo of a {}.",)


def test_names_and_sentences_mix_in_the_order_given_and_count_once() -> None:
    found = resolve_templates(["my {}", "oxford_pets", "a photo of a {}.", "imagenet", "my {}"])
    assert found == ("my {}", "a photo of a {}, a type of pet.", "a photo of a {}.")


def test_an_unknown_name_gets_one_line_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'oxford_pet' has no \{\} .* mean 'oxford_pets'.*names are clip_imagenet_80"):
        resolve_templates(["oxford_pet"])

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clipprompt._yaml import read_mapping
from clipprompt.errors import UserError
from clipprompt.sweep.request import Request, check_folder, claim_folder

REQUEST = Request("few-shot", ("coop",), ("photos",), seeds=(1,), shots=(2, None), settings=("train.epochs=1",))
REQUEST = replace(REQUEST, backbone="mini-vit, fp32")


def test_a_folder_says_what_was_asked_for(tmp_path: Path) -> None:
    claim_folder(tmp_path / "sweep", REQUEST)
    tree = read_mapping(tmp_path / "sweep" / "sweep.yaml")
    assert (tree["protocol"], tree["methods"], tree["shots"]) == ("few-shot", ["coop"], [2, None])
    assert check_folder(tmp_path / "sweep", REQUEST) == REQUEST


def test_methods_sets_and_seeds_can_be_added(tmp_path: Path) -> None:
    claim_folder(tmp_path, REQUEST)
    claim_folder(tmp_path, replace(REQUEST, methods=("cocoop", "coop"), datasets=("other",), seeds=(2,), root="/data"))
    joint = check_folder(tmp_path, REQUEST)
    assert (joint.methods, joint.datasets, joint.seeds) == (("coop", "cocoop"), ("photos", "other"), (1, 2))
    assert read_mapping(tmp_path / "sweep.yaml")["root"] == "/data"


def test_known_labels_and_a_corpus_can_be_added_and_a_corpus_cannot_change(tmp_path: Path) -> None:
    partial = replace(REQUEST, protocol="partial-label", shots=(), known=(0.1,))
    claim_folder(tmp_path, partial)
    claim_folder(tmp_path, replace(partial, known=("single-positive", 0.1), captions="/data/voc.parquet"))
    assert check_folder(tmp_path, partial) == replace(
        partial, known=(0.1, "single-positive"), captions="/data/voc.parquet"
    )
    with pytest.raises(UserError, match=r"captions is '/data/voc\.parquet' there and 'mini' here"):
        check_folder(tmp_path, replace(partial, captions="mini"))


def test_a_method_brings_its_own_settings(tmp_path: Path) -> None:
    vpt = replace(REQUEST, methods=("vpt",), settings=("vpt:learner.depth=2", "train.epochs=1"))
    both = replace(REQUEST, methods=("coop", "vpt"), settings=("train.epochs=1", "vpt:learner.depth=2"))
    for request in (REQUEST, vpt, both, REQUEST, vpt):
        claim_folder(tmp_path, request)
    assert check_folder(tmp_path, REQUEST).settings == both.settings
    deeper = replace(vpt, settings=("train.epochs=1", "vpt:learner.depth=3"))
    with pytest.raises(UserError, match=r"settings is learner\.depth=2, train\.epochs=1 there and learner\.depth=3, "):
        check_folder(tmp_path, deeper)


def test_of_a_setting_that_is_given_twice_the_last_counts(tmp_path: Path) -> None:
    for again in (("train.epochs=1", "train.epochs=2", "train.epochs=1"), ("train.epochs=1",)) * 2:
        claim_folder(tmp_path, replace(REQUEST, settings=again))
    with pytest.raises(UserError, match=r"settings is train\.epochs=1 there and train\.epochs=2 here"):
        check_folder(tmp_path, replace(REQUEST, settings=("train.epochs=2",)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "base-to-novel"}, "protocol is 'few-shot' there and 'base-to-novel' here"),
        ({"settings": ()}, "settings is train.epochs=1 there and none here"),
        ({"part": "val"}, "part is 'test' there and 'val' here"),
        ({"source": "imagenet"}, "source is None there and 'imagenet' here"),
        ({"backbone": "RN50, openai"}, "backbone is 'mini-vit, fp32' there and 'RN50, openai' here"),
    ],
)
def test_what_makes_numbers_compare_cannot_change(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    claim_folder(tmp_path, REQUEST)
    before = (tmp_path / "sweep.yaml").read_bytes()
    with pytest.raises(UserError) as error:
        claim_folder(tmp_path, replace(REQUEST, **change))
    assert message in str(error.value)
    assert (tmp_path / "sweep.yaml").read_bytes() == before


def test_parts_of_a_sweep_may_begin_at_once(tmp_path: Path) -> None:
    requests = [replace(REQUEST, seeds=(seed,)) for seed in range(1, 9)]
    threads = [threading.Thread(target=claim_folder, args=(tmp_path, one)) for one in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(check_folder(tmp_path, REQUEST).seeds) == set(range(1, 9))


@pytest.mark.parametrize("content", ["- a", "protocol: [", "protocol: few-shot\nspeed: 3\n"])
def test_a_damaged_request_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(content)
    with pytest.raises(UserError, match=r"sweep\.yaml"):
        check_folder(tmp_path, REQUEST)


def test_foreign_folders_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="is not empty and not the folder of a sweep"):
        check_folder(tmp_path, REQUEST)
    with pytest.raises(UserError, match=r"notes\.txt is a file; name a folder"):
        check_folder(tmp_path / "notes.txt", REQUEST)
    with pytest.raises(UserError, match="cannot use"):
        claim_folder(tmp_path / "notes.txt" / "sweep", REQUEST)

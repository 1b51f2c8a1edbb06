from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from clipprompt.cli.train import default_folder
from clipprompt.config import RunConfig, load_config, read_config
from clipprompt.datasets.classification.draw import draw
from clipprompt.datasets.classification.load import load_classification
from clipprompt.errors import UserError
from clipprompt.training.labelled_images import LabelledImages, load_labelled_images
from clipprompt.training.plan import load_source
from clipprompt.training.run import check_request, run_training
from tests.datasets.classification.miniatures import make_miniature
from tests.training._worker import write_backbone, write_photos

SELECT = "train.select=val"


def configure(*settings: str, dataset: str = "mini-objects", method: str = "coop") -> RunConfig:
    return load_config(method, [f"data.dataset={dataset}", *settings])


def load(*settings: str, dataset: str = "mini-objects") -> LabelledImages:
    return load_labelled_images(configure(*settings, dataset=dataset))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", ["cat", "dog", "red_bus"], 10)


def test_a_run_sees_the_pictures_that_its_seed_draws() -> None:
    for seed in (1, 2):
        found = load("shots=2", "subset=base", f"train.seed={seed}")
        drawn = draw(load_classification("mini-objects"), 2, seed, "base")
        assert (found.images.ids, found.classnames) == (tuple(s.path for s in drawn.train), drawn.classnames)
        assert found.images.targets.argmax(axis=1).tolist() == [sample.label for sample in drawn.train]
        assert any(f"draw {drawn.hash[:16]}" in note for note in found.images.notes)


def test_every_key_of_the_draw_changes_the_fingerprint() -> None:
    base = ["shots=2", "subset=base"]
    runs = [base, ["shots=3", "subset=base"], ["shots=2", "subset=novel"], [*base, "class_split=1"], [*base, "seed=2"]]
    marks = [load(*settings).fingerprint() for settings in runs]
    assert len(set(marks)) == 5
    assert marks[0] == load(*base).fingerprint()


@pytest.mark.parametrize(("shots", "n_val"), [(1, 1), (16, 4)])
def test_the_part_val_selects_with_at_most_4_of_each_class(shots: int, n_val: int) -> None:
    found = load(f"shots={shots}", "subset=novel", SELECT)
    assert found.validation is not None
    assert found.validation.classnames == found.classnames
    counts = Counter(found.validation.targets.argmax(axis=1).tolist())
    assert counts == dict.fromkeys(range(20), n_val)
    assert all("/val/" in path for path in found.validation.ids)


def test_selection_does_not_change_what_is_learnt_from() -> None:
    assert load("shots=2", SELECT).images.ids == load("shots=2").images.ids
    assert load("shots=2").validation is None


def test_without_a_part_val_some_of_train_is_held_out_and_it_is_said(tmp_path: Path) -> None:
    make_miniature("imagenet", tmp_path)
    config = configure(f"data.root={tmp_path}", "shots=4", SELECT, dataset="imagenet")
    found = load_labelled_images(config)
    assert found.validation is None
    said = "imagenet has no part val; 10% of each class's training pictures, but at least one, are held out"
    assert any(note.startswith(said) for note in found.images.notes)
    assert (len(found), found.n_trained_on(config)) == (16, 12)  # one of each of 4 classes


def test_a_set_for_testing_alone_teaches_nothing(tmp_path: Path) -> None:
    make_miniature("imagenet_a", tmp_path)
    with pytest.raises(UserError, match="imagenet_a has no part 'train'; it has test"):
        load(f"data.root={tmp_path}", "shots=1", dataset="imagenet_a")


def test_other_pictures_may_select() -> None:
    found = load("shots=2", "subset=base", "data.validation=mini-sketch:val", SELECT)
    assert found.validation is not None
    assert (found.validation.name, len(found.validation)) == ("mini-sketch:val", 20 * 30)
    assert (found.validation.targets.sum(axis=1) == 1).all()


def test_own_data_are_seen_whole_or_in_parts(photos: Path) -> None:
    assert len(load(dataset=str(photos)).images) == 30
    for settings, n in ((["data.parts=true"], 15), (["shots=2"], 6), (["subset=base"], 10)):
        found = load(*settings, dataset=str(photos))
        assert len(found.images) == n
        assert found.images.notes[0].startswith("photos does not say its parts: split here into 50 % train")


def test_own_parts_are_kept(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_photos(tmp_path / "both" / part, ["cat", "dog"], 3)
    for spec in (tmp_path / "both", f"{tmp_path / 'both'}:train"):
        found = load("shots=2", dataset=str(spec))
        assert [name.split("/")[:2] for name in found.images.ids] == [["train", "cat"]] * 2 + [["train", "dog"]] * 2


def test_a_named_set_without_shots_is_its_part_train() -> None:
    found = load(dataset="mini-night")
    assert (found.images.name, len(found.images)) == ("mini-night:train", 4000)
    assert any("drew 4,000 pictures of 40 classes, all; draw" in note for note in found.images.notes)


def test_a_share_is_of_each_class_and_lies_within_a_larger_one() -> None:
    small, large = (load(f"data.share={share}", "subset=base") for share in (0.1, 0.5))
    assert Counter(small.images.targets.argmax(axis=1).tolist()) == dict.fromkeys(range(20), 10)
    assert set(small.images.ids) < set(large.images.ids)
    assert any("of 20 classes, 0.1 of each class by seed 1; draw" in note for note in small.images.notes)
    assert small.pool is not None
    assert (len(small.pool), small.fingerprint() == large.fingerprint()) == (2000, False)
    assert load("data.share=0.1", "train.seed=2").images.ids != load("data.share=0.1").images.ids


def test_a_set_can_be_learnt_from_with_its_part_val(photos: Path) -> None:
    alone, joined = load(), load("data.with_val=true")
    assert joined.images.ids[: len(alone)] == alone.images.ids
    assert all("/val/" in name for name in joined.images.ids[len(alone) :])
    assert len(joined) > len(alone)
    assert any(", all of train and val; draw" in note for note in joined.images.notes)
    assert len(load("data.with_val=true", dataset=str(photos))) == 21  # 50 % and 20 %
    few = load("data.with_val=true", "shots=16", "subset=base")
    assert Counter(few.images.targets.argmax(axis=1).tolist()) == dict.fromkeys(range(20), 20)


def test_without_a_part_val_there_is_none_to_learn_from(tmp_path: Path) -> None:
    make_miniature("imagenet", tmp_path)
    with pytest.raises(UserError, match=r"imagenet has no part val, so nothing is learnt from it: leave out data.with"):
        load(f"data.root={tmp_path}", "data.with_val=true", dataset="imagenet")


def test_pictures_that_are_missing_are_told_or_left_out(photos: Path, tmp_path: Path) -> None:
    names = [f"photos/{kind}/{number}.jpg" for kind in ("cat", "dog") for number in range(10)]
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{name},{name.split('/')[1]}\n" for name in names))
    drawn = load("shots=2", dataset=str(table)).images
    Path(drawn.items[1]).unlink()
    with pytest.raises(UserError, match=r"table, train: image .* does not exist; --skip-missing leaves"):
        load("shots=2", dataset=str(table))
    found = load("shots=2", "skip_missing=true", dataset=str(table)).images
    assert found.ids == (drawn.ids[0], *drawn.ids[2:])
    assert any(note.startswith("1 of 4 images are missing and left out") for note in found.notes)


def test_the_run_records_its_draw_and_another_does_not_go_on_with_it(tmp_path: Path) -> None:
    write_backbone(tmp_path / "tiny", "vit")
    small = [f"backbone.name={tmp_path / 'tiny'}", "device=cpu", "epochs=1", "batch_size=16", "n_ctx=2", "workers=0"]
    said = list[str]()
    result = run_training(configure("shots=1", "subset=base", SELECT, *small), tmp_path / "run", said.append)
    assert result is not None
    assert result.steps == 1
    assert any("drew 20 pictures of 20 classes, 1 of each class by seed 1; draw" in line for line in said)
    recorded = read_config(tmp_path / "run" / "config.yaml").data
    assert (recorded.shots, recorded.subset, recorded.class_split) == (1, "base", 0)
    with pytest.raises(UserError, match=r"holds another run: data\.(shots is 1 there and 2 here|fingerprint)"):
        run_training(configure("shots=2", "subset=base", SELECT, *small), tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "dataset", "message"),
    [
        (["shots=0"], "mini-objects", "data.shots"),
        (["shots=-1"], "mini-objects", "data.shots"),
        (["subset=new"], "mini-objects", "data.subset"),
        (["class_split=3"], "mini-objects", "data.class_split=3 has no use with all classes; add subset=base"),
        (["data.share=0"], "mini-objects", "data.share"),
        (["data.share=1.5"], "mini-objects", "data.share"),
        (["data.share=0.5", "shots=4"], "mini-objects", "data.share=0.5 and data.shots=4 both say how many pictures"),
        (["data.share=0.5"], "mini", "data.share=0.5 is for sets with one class a picture, and mini has several"),
        (["data.with_val=true"], "mini", "data.with_val=true is for sets with one class a picture, and mini has"),
        (["data.with_val=true", SELECT], "mini-objects", "data.with_val=true learns from .* take train.select=last"),
        (["train.optimizer=adam"], "mini-objects", "train.optimizer"),
        (["train.optimizer=adamw", "momentum=0.5"], "mini-objects", "train.momentum=0.5 is of SGD"),
        (["shots=4"], "voc2007", "voc2007:trainval needs --root"),
        (["data.parts=true"], "coco2014", "coco2014 has several classes to a picture"),
        ([], "mini-objects:test", "mini-objects:test is kept for testing; learn from mini-objects:train"),
        ([], "mini-objects:val", "mini-objects:val is kept for selection; learn from mini-objects:train"),
        (["data.validation=mini-objects:test", SELECT], "mini-objects", "'mini-objects:test' is a test split"),
        (["data.root=x"], "mini-objects", "--root x has no use with the drawn pictures of mini-objects"),
        ([], "caltech101", "caltech101 needs --root, the folder that holds caltech-101"),
        (["shots=1"], "mini-objetcs", "unknown set 'mini-objetcs'"),
        (["shots=1"], "instances.json", "cannot read instances.json"),
    ],
)
def test_a_wrong_request_is_one_line(settings: list[str], dataset: str, message: str) -> None:
    def ask() -> None:
        check_request(config := configure(*settings, dataset=dataset))
        load_source(config)

    with pytest.raises(UserError, match=message) as raised:
        ask()
    assert "\n" not in str(raised.value)


def test_half_of_two_classes_leaves_nothing_to_tell_apart(tmp_path: Path) -> None:
    write_photos(tmp_path / "two", ["cat", "dog"], 4)
    with pytest.raises(UserError, match=r"every picture has every class \(cat\), so there is nothing to tell apart"):
        load("subset=base", dataset=str(tmp_path / "two"))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (["shots=4", "subset=base"], "coop-mini-objects-base-4shots-mini-vit-seed1"),
        (["subset=novel", "class_split=2"], "coop-mini-objects-novel-split2-mini-vit-seed1"),
        ([], "coop-mini-objects-mini-vit-seed1"),
    ],
)
def test_the_default_folder_names_the_draw(settings: list[str], name: str) -> None:
    config = configure("backbone.name=mini-vit", *settings)
    assert default_folder(config) == Path("runs") / name

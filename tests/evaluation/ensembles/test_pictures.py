from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from clipprompt.config import RunConfig, dump_config, load_config
from clipprompt.datasets import MultiLabelImages, load_labels
from clipprompt.datasets.scenes import load_scenes
from clipprompt.errors import UserError
from clipprompt.evaluation.ensembles.pictures import given_validation, held_out_validation, picture_keys
from clipprompt.training import labelled_images
from clipprompt.training.labelled_images import held_out_images

HELD = ("train.select=val_map", "train.val_fraction=0.2")


def run(place: Path, name: str, *settings: str, method: str = "dualcoop") -> Path:
    """A run folder, as far as it says what was learnt from."""
    config = load_config(method, ["data.n_images=50", *settings])
    (place / name).mkdir()
    (place / name / "config.yaml").write_text(dump_config(config))
    return place / name


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A table of eight pictures, and another that has two of them under other names."""
    for number in range(8):
        Image.new("RGB", (32, 32), (30 * number, 0, 0)).save(tmp_path / f"{number}.png")
    rows = [f"{number}.png,{number % 2},{int(number < 4)}" for number in range(8)]
    (tmp_path / "all.csv").write_text("\n".join(["path,cat,dog", *rows]) + "\n")
    (tmp_path / "links").mkdir()
    for number in (1, 2):
        (tmp_path / "links" / f"other{number}.png").symlink_to(tmp_path / f"{number}.png")
    (tmp_path / "links" / "labels.csv").write_text("path,cat,dog\nother1.png,1,0\nother2.png,0,1\n")
    return tmp_path


@pytest.fixture
def tested() -> MultiLabelImages:
    return load_scenes("test", 20)


def test_held_out_pictures_are_those_of_the_run(tmp_path: Path, tested: MultiLabelImages) -> None:
    place = run(tmp_path, "a", "data.dataset=mini:train", *HELD)
    captions = run(tmp_path, "captions", "data.corpus=c.parquet", method="tai_dpt")
    found = held_out_validation([captions, place], tested)
    config = load_config("dualcoop", ["data.n_images=50", "data.dataset=mini:train", *HELD])
    held = held_out_images(config)
    assert held is not None
    assert found.images.ids == held.ids
    assert len(found.images) == 10
    assert found.where == f"what {place} held out"
    assert found.notes == ()


def test_the_set_of_a_member_is_loaded_once(
    tmp_path: Path, tested: MultiLabelImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [run(tmp_path, name, "data.dataset=mini:train", *HELD) for name in "ab"]
    loaded = list[RunConfig]()
    load = labelled_images.load_labelled_images
    monkeypatch.setattr(
        labelled_images, "load_labelled_images", lambda config: (loaded.append(config), load(config))[1]
    )
    found = held_out_validation(sources, tested)
    assert len(loaded) == len(sources)
    assert found.pool is not None
    assert len(found.pool) == 50


def test_labels_that_the_run_did_not_know_stay_unknown(tmp_path: Path, tested: MultiLabelImages) -> None:
    place = run(tmp_path, "a", "data.dataset=mini:train", "data.known=0.5", *HELD)
    targets = held_out_validation([place], tested).images.targets
    assert 0.3 < (targets == -1).mean() < 0.7


def test_pictures_that_another_member_learnt_from_choose_nothing(tmp_path: Path, tested: MultiLabelImages) -> None:
    first = run(tmp_path, "a", "data.dataset=mini:train", "train.seed=1", *HELD)
    other = run(tmp_path, "b", "data.dataset=mini:train", "train.seed=2", *HELD)
    found = held_out_validation([first, other], tested)
    config = load_config("dualcoop", ["data.n_images=50", "data.dataset=mini:train", "train.seed=2", *HELD])
    held = held_out_images(config)
    assert held is not None
    assert 0 < len(found.images) < 10
    assert picture_keys(found.images) <= picture_keys(held)
    n_lost = 10 - len(found.images)
    assert found.notes == (f"{n_lost} of the 10 pictures that {first} held out: another prompt learnt from them",)


def test_the_next_member_is_asked_where_nothing_is_left_of_the_first(tmp_path: Path, tested: MultiLabelImages) -> None:
    every = run(tmp_path, "all", "data.dataset=mini:train")
    first = run(tmp_path, "a", "data.dataset=mini:train", *HELD)
    other = run(tmp_path, "b", "data.dataset=mini:extra", *HELD)
    found = held_out_validation([every, first, other], tested)
    assert found.where == f"what {other} held out"


def test_a_named_set_is_its_training_split_with_the_tested_classes(tmp_path: Path, tested: MultiLabelImages) -> None:
    wanted = tested.with_classes(["dining table", "dog"])
    found = given_validation("mini", [], wanted, n_images=7)
    assert (found.where, len(found.images)) == ("mini:train", 7)
    assert found.images.classnames == ("dining table", "dog")


def test_classes_that_validation_lacks_are_told(pictures: Path, tested: MultiLabelImages) -> None:
    found = given_validation(f"{pictures}/all.csv", [], tested)
    assert found.images.classnames == ("cat", "dog")
    assert found.notes[-1] == "weights are chosen by 2 of the 20 classes"


def test_a_run_whose_data_are_gone_is_told_and_does_not_stop(pictures: Path, tested: MultiLabelImages) -> None:
    gone = run(pictures, "gone", "data.dataset=nowhere/labels.csv")
    found = given_validation("mini:val", [gone], tested)
    assert found.notes[0].startswith(f"whether --validation mini:val was learnt from cannot be told: {gone}: ")


def test_untrained_prompts_have_learnt_from_nothing(tmp_path: Path, tested: MultiLabelImages) -> None:
    untrained = run(tmp_path, "a", "data.dataset=mini:train", "train.epochs=0")
    assert given_validation("mini:train", [untrained], tested, n_images=5).notes == ()


def refused(tested: MultiLabelImages, sources: list[Path], spec: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        held_out_validation(sources, tested) if spec is None else given_validation(spec, sources, tested, n_images=50)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mini:test", "'mini:test' is a test split, and nothing is learnt or selected on one; name another split"),
        ("voc2007:test", "'voc2007:test' is a test split"),
        ("coco2014:val", "'coco2014:val' is a test split"),
        ("mini:tain", "the mini world has no image split 'tain'"),
        ("voc2007", "voc2007:trainval needs --root"),
        ("mini-objects:train", "4,000 pictures of --validation mini-objects:train are what {run} learnt from"),
        ("mini:train", "40 pictures of --validation mini:train are what {other} learnt from; give --validation OTHER"),
    ],
)
def test_sets_that_may_not_choose_are_one_line(
    tmp_path: Path, tested: MultiLabelImages, spec: str, message: str
) -> None:
    objects = run(tmp_path, "objects", "data.dataset=mini-objects", *HELD)
    scenes = run(tmp_path, "scenes", "data.dataset=mini:train", *HELD)
    assert refused(tested, [objects, scenes], spec).startswith(message.format(run=objects, other=scenes))


@pytest.mark.parametrize("spec", ["all.csv", "links/labels.csv"])
def test_files_are_the_tested_ones_under_any_name(pictures: Path, spec: str) -> None:
    tested = load_labels(pictures / "all.csv").subset([0, 1, 2])
    shared = 3 if spec == "all.csv" else 2
    message = f"{shared} pictures of --validation {pictures}/{spec} are tested ({tested.name}); give --validation OTHER"
    assert refused(tested, [], f"{pictures}/{spec}").startswith(message)


def test_copies_of_tested_files_choose_nothing(pictures: Path) -> None:
    (pictures / "copies").mkdir()
    for number in (1, 2):
        (pictures / "copies" / f"{number + 4}.png").write_bytes((pictures / f"{number}.png").read_bytes())
    Image.new("RGB", (32, 32), (0, 99, 0)).save(pictures / "copies" / "own.png")
    (pictures / "copies" / "labels.csv").write_text("path,cat,dog\n5.png,1,0\n6.png,0,1\nown.png,1,1\n")
    with pytest.raises(UserError, match=r"^2 pictures of --validation .* are tested"):
        given_validation(str(pictures / "copies" / "labels.csv"), [], load_labels(pictures / "all.csv"))


def test_a_prompt_that_does_not_say_what_it_learnt_from_is_told(tmp_path: Path, tested: MultiLabelImages) -> None:
    notes = given_validation("mini:val", [tmp_path], tested, n_images=20).notes
    assert notes == (f"{tmp_path} has no config.yaml to say what it learnt from",)


def test_what_was_held_out_is_not_tested(pictures: Path) -> None:
    place = run(pictures, "a", f"data.dataset={pictures}/all.csv", "train.select=val_map", "train.val_fraction=0.5")
    message = f"4 pictures of what {place} held out are tested"
    assert refused(load_labels(pictures / "all.csv"), [place]).startswith(message)


@pytest.mark.parametrize(("held", "why"), [((), "no prompt's run held pictures out"), (HELD, "another prompt learnt")])
def test_where_nothing_is_held_out_the_remedy_is_told(
    tmp_path: Path, tested: MultiLabelImages, held: tuple[str, ...], why: str
) -> None:
    place, every = (run(tmp_path, name, "data.dataset=mini:train", *how) for name, how in (("a", held), ("b", ())))
    found = refused(tested, [place, every])
    assert found.startswith(why)
    assert found.endswith("so nothing can choose the weights; give --validation DATA, or --weights such as 0.1,0.9")


def test_classes_of_another_world_are_one_line(pictures: Path, tested: MultiLabelImages) -> None:
    message = refused(tested.with_classes(["boat", "bus"]), [], f"{pictures}/all.csv")
    assert message.startswith(f"all and {tested.name} have no class in common")


def test_a_run_whose_pictures_changed_has_held_out_nothing_known(pictures: Path, tested: MultiLabelImages) -> None:
    place = run(pictures, "a", f"data.dataset={pictures}/all.csv", "data.fingerprint=0123456789abcdef", *HELD)
    message = refused(tested.with_classes(["cat", "dog"]), [place])
    assert message.startswith(f"{place}: {pictures}/all.csv is not what was learnt from")

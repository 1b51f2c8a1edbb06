from __future__ import annotations

import pytest

from clipprompt.backbone import load_backbone
from clipprompt.learners import create_learner, list_learners
from clipprompt.mini.scenes import VOC_CLASSES
from tools import learners_table


def test_settings_are_those_of_learners_and_their_configurations_are_valid() -> None:
    assert set(learners_table.SETTINGS) <= set(list_learners())
    for method in list_learners():
        assert learners_table.configured(method, ["train.seed=3"]).train.seed == 3


def test_accuracy_is_the_part_of_pictures_whose_class_comes_first() -> None:
    pictures = learners_table.objects("val", 40)
    learner = create_learner("zero_shot", load_backbone("mini", device="cpu"), VOC_CLASSES)
    transform = learner.backbone.preprocess
    assert transform is not None
    hits = [int(learner(transform(pictures[i])[None]).argmax()) == pictures.targets[i].argmax() for i in range(40)]
    assert learners_table.accuracy(learner, pictures) == pytest.approx(sum(hits) / 40)
    assert 0 < sum(hits) < 40


@pytest.mark.slow
def test_table_has_learners_that_fit_and_says_which_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--backbones", "mini", "--methods", "coop", "vpt", "--seeds", "1", "--split", "val"]
    learners_table.main([*arguments, "--set", "epochs=12"])
    out, err = capsys.readouterr()
    rows = {line.split("|")[2].strip(): line.split("|")[3:5] for line in out.splitlines()[2:]}
    assert list(rows) == ["zero-shot", "zero-shot, centred text", "coop"]
    before, after = (float(cell) for cell in rows["coop"])
    assert after > before + 5
    assert "vpt needs a transformer image tower" in err

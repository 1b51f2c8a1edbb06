"""The benchmark of the learners compares two ways to the same numbers, or its ratios mean nothing."""

from __future__ import annotations

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.learners import Learner, create_learner
from tests.conftest import Golden, assert_close
from tools.bench import learners as bench
from tools.bench._measure import Measured, row
from tools.bench._plain import plain_loss, plain_step_in_parts

NAMES = ["cat", "traffic light", "hot_dog", "air balloon"]
METHODS = {
    "coop": {"n_ctx": 4},
    "cocoop": {},
    "vpt": {"n_ctx": 2, "depth": 3},
    "ivlp": {"depth_text": 3, "depth_visual": 2},
    "maple": {"depth": 3},
    "promptsrc": {"depth_text": 3, "depth_visual": 3, "templates": ("a photo of a {}.", "art of the {}.")},
}


def test_every_method_of_the_table_is_compared() -> None:
    assert {name for name, *_ in bench.SETTINGS} == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_both_sides_have_the_same_loss_and_gradients(tiny_vit_backbone: Backbone, name: str, inputs: Golden) -> None:
    learner = create_learner(name, tiny_vit_backbone, NAMES, **METHODS[name])
    images, labels = inputs["images_vit"][:3], torch.tensor([0, 3, 1])
    plain = plain_loss(learner)(images, labels)
    expected = torch.autograd.grad(plain, list(learner.parameters()))
    ours = learner.loss(images, labels)
    found = torch.autograd.grad(ours, list(learner.parameters()))
    assert_close(ours, plain.detach(), 1e-5)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-4)


def test_parts_of_all_classes_are_the_whole_step(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner = create_learner("maple", tiny_vit_backbone, NAMES, depth=3)
    images, labels = inputs["images_vit"][:3], torch.tensor([0, 3, 1])
    plain_step_in_parts(learner, len(NAMES))(images, labels)
    expected = torch.autograd.grad(plain_loss(learner)(images, labels), list(learner.parameters()))
    for parameter, gradient in zip(learner.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert_close(parameter.grad, gradient, 1e-5)


def test_parts_cover_every_class_once(tiny_vit_backbone: Backbone, inputs: Golden) -> None:
    learner = create_learner("maple", tiny_vit_backbone, NAMES, depth=1)
    images, labels = inputs["images_vit"][:3], torch.tensor([0, 1, 1])
    plain_step_in_parts(learner, 2)(images, labels)
    halves = [create_learner("maple", tiny_vit_backbone, names, depth=1) for names in (NAMES[:2], NAMES[2:])]
    sums = [sum(pair) for pair in zip(*(_gradients(half, images, labels) for half in halves), strict=True)]
    for parameter, expected in zip(learner.parameters(), sums, strict=True):
        assert parameter.grad is not None
        assert isinstance(expected, torch.Tensor)
        assert_close(parameter.grad, expected, 1e-4)


def _gradients(learner: Learner, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(learner.loss(images, labels), list(learner.parameters()))


def test_a_thousand_names_differ_and_fewer_are_the_first_of_them() -> None:
    names = bench.class_names(1000)
    assert len({name.lower() for name in names}) == 1000
    assert bench.class_names(50) == names[:50]


def test_a_row_of_ours_alone_has_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    from tools.bench.__main__ import _line

    both, alone = row("a", Measured(3.0, 900), Measured(0.5, 300)), row("b", None, Measured(0.5, 300))
    assert _line(both) == "| a | 3.00 s | 500 ms | **6.0 ×** | 900 MB | 300 MB |"
    assert _line(alone) == "| b | – | 500 ms | – | – | 300 MB |"


def test_benchmarks_that_run_on_a_cpu_alone_refuse_another_device(capsys: pytest.CaptureFixture[str]) -> None:
    from tools.bench.__main__ import main

    with pytest.raises(SystemExit):
        main(["images", "--device", "cuda"])
    assert "only the benchmark learners runs on a GPU" in capsys.readouterr().err

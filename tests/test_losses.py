from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from clipprompt import losses
from tests.conftest import Golden, assert_close

Loss = Callable[[Tensor, Tensor], Tensor]


def _pm1_to_ours(labels: Tensor) -> Tensor:
    """TaI-DPT's code 1 / -1 absent / 0 unknown, in ours: 1 / 0 absent / -1 unknown."""
    return torch.where(labels > 0.9, 1.0, torch.where(labels < -0.9, 0.0, -1.0))


partial_asl = partial(losses.asymmetric, reduction="batch_mean")
TAI: list[tuple[str, str, Loss]] = [
    ("ranking_scale1_margin1", "y01", losses.ranking),
    ("ranking_default_scale2", "y01", partial(losses.ranking, scale=2.0)),
    ("ranking_scale1_margin1_soft", "y_soft", losses.ranking),
    ("bce", "y01", losses.binary_cross_entropy),
    ("bce_soft", "y_soft", losses.binary_cross_entropy),
    ("softmax_sigmoid_bce", "y01", losses.softmax_binary_cross_entropy),
    ("soft_cross_entropy", "y01", losses.soft_cross_entropy),
    ("focal", "y01", losses.focal),
    ("focal_soft", "y_soft", losses.focal),
    ("focal_alpha025", "y01", partial(losses.focal, alpha=0.25)),
    ("focal_sum", "y01", partial(losses.focal, reduction="sum")),
    ("asl_full", "y01", losses.asymmetric),
    ("asl_partial", "y_partial_pm1", partial_asl),
    ("asl_partial_class_defaults", "y_partial_pm1", partial(partial_asl, gamma_negative=4.0)),
    ("asl_partial_focal_grad", "y_partial_pm1", partial(partial_asl, focal_gradient=True)),
    ("asl_partial_noclip", "y_partial_pm1", partial(partial_asl, clip=0.0)),
]


def _check(expected: Golden, name: str, loss: Loss, labels: Tensor, key: str = "x") -> None:
    logits = expected[key].clone().requires_grad_()
    before = logits.detach().clone()
    value = loss(logits, labels)
    value.backward()
    assert_close(value, expected[f"{name}/value"], 1e-6)
    assert logits.grad is not None
    assert_close(logits.grad, expected[f"{name}/grad"], 1e-5)
    assert torch.equal(logits.detach(), before), "the caller's logits must not change"


@pytest.mark.parametrize(("name", "labels", "loss"), TAI, ids=[row[0] for row in TAI])
def test_losses_of_tai_dpt_match_golden(golden: Callable[[str], Golden], name: str, labels: str, loss: Loss) -> None:
    expected = golden("losses_tai")
    target = expected[labels].float()
    _check(expected, name, loss, _pm1_to_ours(target) if labels == "y_partial_pm1" else target)


def _negative_prompt_only(logits: Tensor, labels: Tensor) -> Tensor:
    return losses.asymmetric(-logits, labels, reduction="sum")


PAIR = "x_two_way"
DUALCOOP: list[tuple[str, str, str, Loss]] = [
    ("asl_softmax_gneg2_gpos1", PAIR, "y_partial", losses.asymmetric_pair),
    ("asl_softmax_class_defaults", PAIR, "y_partial", partial(losses.asymmetric_pair, gamma_negative=4.0)),
    ("asl_softmax_full_labels", PAIR, "y01", losses.asymmetric_pair),
    ("asl_sigmoid_positive_prompt_only", "x", "y01", partial(losses.asymmetric, reduction="sum")),
    ("asl_sigmoid_negative_prompt_only", "x", "y01", _negative_prompt_only),
    (
        "asl_optimized_class_defaults",
        "x",
        "y01",
        partial(losses.asymmetric, gamma_negative=4.0, reduction="sum", focal_gradient=True),
    ),
]


@pytest.mark.parametrize(("name", "key", "labels", "loss"), DUALCOOP, ids=[row[0] for row in DUALCOOP])
def test_losses_of_dualcoop_match_golden(
    golden: Callable[[str], Golden], name: str, key: str, labels: str, loss: Loss
) -> None:
    expected = golden("losses_dualcoop")
    _check(expected, name, loss, expected[labels].float(), key)


def test_ranking_equals_the_sum_over_all_pairs() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(5, 9, generator=generator)
    labels = torch.randint(-1, 2, (5, 9), generator=generator).float()
    total = 0.0
    for row, target in zip(logits.tolist(), labels.tolist(), strict=True):
        for x_present, y_present in zip(row, target, strict=True):
            for x_absent, y_absent in zip(row, target, strict=True):
                if y_present == 1 and y_absent == 0:
                    total += max(0.0, 1 - x_present + x_absent)
    assert losses.ranking(logits, labels).item() == pytest.approx(total / 5, rel=1e-5)


UNKNOWN: list[Loss] = [
    partial(losses.ranking, margin=10.0),
    losses.binary_cross_entropy,
    partial(losses.asymmetric, reduction="sum"),
]


@pytest.mark.parametrize("loss", UNKNOWN)
def test_unknown_labels_get_no_gradient(loss: Loss) -> None:
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([[1, 0, -1, 0, -1, 1]]).expand(4, -1).float()
    loss(logits, labels).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, labels == -1)


@pytest.mark.parametrize("labels", [torch.zeros(2, 3), torch.ones(2, 3), -torch.ones(2, 3)])
def test_ranking_of_samples_without_a_pair_is_zero(labels: Tensor) -> None:
    assert losses.ranking(torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), labels).item() == 0.0

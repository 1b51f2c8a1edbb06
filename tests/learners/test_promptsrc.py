from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.config import TrainConfig
from clipprompt.errors import UserError
from clipprompt.learners import create_learner
from clipprompt.learners.promptsrc import PromptSRC, gaussian_weights
from clipprompt.stopping import InterruptedRunError, StopRequest
from clipprompt.training.data import WHOLE, Share, count_batches, epoch_batches
from clipprompt.training.loop import train
from tests.conftest import Golden, assert_close
from tests.learners import _golden

SIZES = {"depth_text": 3, "depth_visual": 3}
SMALL = {"depth_text": 2, "depth_visual": 2, "templates": ("a photo of a {}.", "art of the {}.")}
CONFIG = TrainConfig(epochs=4, batch_size=2, lr=0.01, warmup_lr=0.01, checkpoint_seconds=0, checkpoint_steps=1)
Texts = dict[str, list[str]]
Create = Callable[..., PromptSRC]


class StopAfter(StopRequest):
    """Asks to stop after some steps, as SIGTERM (15) would."""

    def __init__(self, n_steps: int) -> None:
        self.left = n_steps

    @property
    def signum(self) -> int | None:  # type: ignore[override]
        self.left -= 1
        return 15 if self.left < 0 else None


class Images:
    """Images in memory as training data."""

    is_encoded = False

    def __init__(self, images: Tensor, labels: Tensor, n_classes: int) -> None:
        self.images, self.labels = images, torch.nn.functional.one_hot(labels.long(), n_classes).float()

    def __len__(self) -> int:
        return len(self.images)

    def n_batches(self, batch_size: int) -> int:
        return count_batches(len(self), batch_size)

    def batches(
        self, epoch: int, seed: int, batch_size: int, start: int = 0, share: Share = WHOLE
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for part in epoch_batches(len(self), epoch, seed, batch_size, start, share):
            yield self.images[part], self.labels[part]

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.images, self.labels


@pytest.fixture
def expected(golden: Callable[[str], Golden]) -> Golden:
    return golden("promptsrc")


@pytest.fixture
def learner(tiny_vit_backbone: Backbone, texts: Texts, expected: Golden) -> Any:
    """Starts as the golden numbers do."""
    options = {**SIZES, "templates": texts["templates"], "gaussian_mean": 3.0}
    return _golden.create_with("promptsrc", tiny_vit_backbone, texts["classnames"], expected, **options)


@pytest.fixture
def create(tiny_vit_backbone: Backbone, texts: Texts) -> Create:
    def make(name: str = "promptsrc", **options: Any) -> Any:
        return create_learner(name, tiny_vit_backbone, texts["classnames"], **options)

    return make


@pytest.fixture
def data(inputs: Golden) -> Images:
    return Images(inputs["images_vit"], inputs["labels_vit"], 7)


def test_forward_matches_golden(learner: PromptSRC, inputs: Golden, expected: Golden) -> None:
    _golden.check_forward(learner, inputs["images_vit"], expected)
    assert_close(learner.class_features(), expected["text_features"], _golden.FORWARD)


def test_its_teacher_matches_golden(learner: PromptSRC, inputs: Golden, expected: Golden) -> None:
    frozen = learner.encode_images(inputs["images_vit"]).frozen
    assert frozen is not None
    assert not frozen.requires_grad
    assert_close(frozen, expected["teacher_image_features"], _golden.FORWARD)
    assert_close(learner.written_features(), expected["teacher_text_features"], _golden.FORWARD)
    logits = learner.backbone.logit_scale * frozen @ learner.written_features().T
    assert_close(logits, expected["teacher_logits"], _golden.FORWARD)


def test_gradients_match_golden(learner: PromptSRC, inputs: Golden, expected: Golden) -> None:
    _golden.check_gradients(learner, inputs["images_vit"], expected)


def test_five_steps_match_golden(learner: PromptSRC, inputs: Golden, expected: Golden) -> None:
    _golden.check_five_steps(learner, inputs["images_vit"], expected)


def test_terms_and_the_average_over_epochs_match_golden(learner: PromptSRC, inputs: Golden, expected: Golden) -> None:
    """Each of the five steps is an epoch."""
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    terms = []
    for epoch in range(5):
        features = learner.encode_images(inputs["images_vit"])
        terms.append([term.detach() for term in learner.terms_from(features, expected["labels"])])
        optimizer.zero_grad()
        learner.loss_from(features, expected["labels"]).backward()
        optimizer.step()
        learner.end_epoch(epoch, 5)
    learner.end_training()
    names = ("cross_entropy", "scl_text_l1_unweighted", "scl_image_l1_unweighted", "scl_logits_kl")
    for name, curve in zip(names, zip(*terms, strict=True), strict=True):
        assert_close(torch.stack(curve), expected[f"terms/{name}"], _golden.CURVE)
    for name, parameter in learner.named_parameters():
        assert_close(parameter, expected[f"gpa/final/{name}"], _golden.FINAL)
    assert_close(learner(inputs["images_vit"]), expected["gpa/logits"], _golden.FINAL)
    assert not learner.gathered


@pytest.mark.parametrize(("n_epochs", "mean", "std"), [(5, 3, 1), (20, 15, 1), (50, 45, 5)])
def test_weights_of_epochs_match_golden(expected: Golden, n_epochs: int, mean: int, std: int) -> None:
    weights = expected[f"gpa/weights_N{n_epochs}_mean{mean}_std{std}"]
    torch.testing.assert_close(gaussian_weights(n_epochs, mean, std), weights, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("mean", "heaviest"), [(-1e4, 0), (1.0, 0), (2.4, 1), (15.0, 4), (1e4, 4)])
def test_weights_sum_to_one_however_far_the_mean(mean: float, heaviest: int) -> None:
    weights = gaussian_weights(5, mean, 0.01)
    assert weights.sum() == pytest.approx(1)
    assert weights.argmax() == heaviest


def test_with_zero_weights_it_is_ivlp(create: Create, inputs: Golden) -> None:
    free = create(**SMALL, text_weight=0.0, image_weight=0.0, logit_weight=0.0)
    plain, labels = create("ivlp", depth_text=2, depth_visual=2), inputs["labels_vit"].long()
    assert {k: v.tolist() for k, v in free.state_dict().items()} == {
        k: v.tolist() for k, v in plain.state_dict().items()
    }
    losses = [each.loss(inputs["images_vit"], labels) for each in (free, plain)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    for loss in losses:
        loss.backward()
    for name, parameter in plain.named_parameters():
        assert_close(free.get_parameter(name).grad, parameter.grad, 1e-5)


@pytest.mark.parametrize("term", ["text", "image", "logit"])
def test_each_weight_scales_its_own_term(create: Create, inputs: Golden, term: str) -> None:
    labels = inputs["labels_vit"].long()
    one, three = (create(**SMALL, **{f"{term}_weight": weight}) for weight in (1.0, 3.0))
    terms = one.terms_from(one.encode_images(inputs["images_vit"]), labels)
    value = {"text": terms.text, "image": terms.image, "logit": terms.logits}[term].item()
    difference = three.loss(inputs["images_vit"], labels) - one.loss(inputs["images_vit"], labels)
    assert value > 0
    assert difference.item() == pytest.approx(2 * value, rel=1e-3)


def test_its_teacher_is_zero_shot_on_the_same_backbone(create: Create, inputs: Golden) -> None:
    learner, plain = create(**{**SMALL, "templates": "a photo of a {}."}), create("zero_shot")
    frozen = learner.encode_images(inputs["images_vit"]).frozen
    assert frozen is not None
    assert torch.equal(frozen, plain.encode_images(inputs["images_vit"]).global_)
    assert_close(learner.written_features(), plain.class_features(), 1e-6)


def test_its_sentences_are_clips_for_imagenet_unless_others_are_named(create: Create) -> None:
    assert len(create(depth_text=2, depth_visual=2)._sentences) == 80
    assert create(**SMALL)._sentences == SMALL["templates"]


def test_the_teacher_does_not_look_where_no_gradient_is_wanted(
    create: Create, inputs: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, labels = create(**SMALL), inputs["labels_vit"].long()
    with torch.no_grad():
        whole = learner.loss(inputs["images_vit"], labels)
        features = learner.encode_images(inputs["images_vit"])
        monkeypatch.setattr(Backbone, "encode_image", None)
        monkeypatch.setattr(Backbone, "encode_text", None)
        learner.set_classes(["zebra", "okapi", "cat", "dog", "horse", "bus", "boat"])
        assert features.frozen is None
        assert learner(inputs["images_vit"]).shape == (5, 7)
        learner.set_classes(create("ivlp", depth_text=2, depth_visual=2).classnames)
        fit = learner.loss_from(features, labels)  # what validation sees
        assert fit.item() == pytest.approx(
            create("ivlp", depth_text=2, depth_visual=2).loss(inputs["images_vit"], labels).item(), rel=1e-6
        )
        assert whole > fit


def test_new_class_names_get_a_teacher_of_their_own(create: Create, inputs: Golden) -> None:
    learner = create(**SMALL)
    learner.loss(inputs["images_vit"], inputs["labels_vit"].long())  # fills what is kept
    learner.set_classes(["zebra", "okapi"])
    fresh = create_learner("promptsrc", learner.backbone, ["zebra", "okapi"], **SMALL)
    labels = torch.tensor([0, 1, 1, 0, 1])
    assert torch.equal(learner.loss(inputs["images_vit"], labels), fresh.loss(inputs["images_vit"], labels))


def test_without_prompts_in_the_image_tower_the_images_hold_nothing_back(create: Create, inputs: Golden) -> None:
    learner, labels = create(**{**SMALL, "depth_visual": 0}), inputs["labels_vit"].long()
    features = learner.encode_images(inputs["images_vit"])
    terms = learner.terms_from(features, labels)
    assert learner.image_side_is_frozen
    assert features.frozen is None
    assert terms.image == 0
    assert terms.logits > 0
    assert torch.equal(learner.loss_from(features, labels), learner.loss(inputs["images_vit"], labels))


def test_a_batch_equals_its_images_one_by_one(create: Create, inputs: Golden) -> None:
    learner, images, labels = create(**SMALL), inputs["images_vit"], inputs["labels_vit"].long()
    parts = [learner.terms_from(learner.encode_images(i[None]), y[None]) for i, y in zip(images, labels, strict=True)]
    whole = learner.terms_from(learner.encode_images(images), labels)
    for name, term in whole._asdict().items():
        assert_close(term, torch.stack([getattr(part, name) for part in parts]).mean(), 1e-5)


def test_training_ends_with_the_weighted_sum_of_its_epochs(create: Create, data: Images) -> None:
    after_epoch = []
    for n_epochs in range(1, 5):
        last = create(**SMALL, gaussian_mean=None)
        train(last, data, CONFIG.model_copy(update={"epochs": n_epochs, "warmup_epochs": 4}))  # a constant rate
        after_epoch.append(last.state_dict())
    learner = create(**SMALL, gaussian_mean=2.0, gaussian_std=1.5)
    train(learner, data, CONFIG.model_copy(update={"warmup_epochs": 4}))
    weights = gaussian_weights(4, 2.0, 1.5).tolist()
    for name, parameter in learner.named_parameters():
        parts = [weight * state[name] for weight, state in zip(weights, after_epoch, strict=True)]
        assert_close(parameter, torch.stack(parts).sum(dim=0), 1e-6)
        assert not torch.equal(parameter, after_epoch[-1][name])


@pytest.mark.parametrize(("mean", "n_warnings"), [(5.0, 1), (4.0, 0), (None, 0)])
def test_a_mean_beyond_the_last_epoch_is_said_once(
    create: Create, data: Images, caplog: pytest.LogCaptureFixture, mean: float | None, n_warnings: int
) -> None:
    train(create(**SMALL, gaussian_mean=mean), data, CONFIG)
    assert [m for m in caplog.messages if "beyond the last of 4 epochs" in m] == caplog.messages
    assert len(caplog.messages) == n_warnings


def test_terms_of_images_that_the_teacher_has_not_seen_are_refused(create: Create, inputs: Golden) -> None:
    learner = create(**SMALL)
    with torch.no_grad(), pytest.raises(ValueError, match="the teacher has not seen these images"):
        learner.terms_from(learner.encode_images(inputs["images_vit"]), inputs["labels_vit"].long())


@pytest.mark.parametrize("n_steps", [1, 2, 5, 7])
def test_cut_off_anywhere_and_gone_on_with_it_averages_the_same_epochs(
    create: Create, data: Images, tmp_path: Path, n_steps: int
) -> None:
    options = {**SMALL, "gaussian_mean": 2.0}
    whole, cut, again = create(**options), create(**options), create(**options, seed=9)
    train(whole, data, CONFIG)
    with pytest.raises(InterruptedRunError):
        train(cut, data, CONFIG, folder=tmp_path, stop=StopAfter(n_steps))
    train(again, data, CONFIG, folder=tmp_path)
    for name, parameter in whole.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter)


def test_killed_between_the_last_epoch_and_its_files_it_still_averages(
    create: Create, data: Images, tmp_path: Path
) -> None:
    options = {**SMALL, "gaussian_mean": 2.0}
    whole, again = create(**options), create(**options, seed=9)
    train(whole, data, CONFIG, folder=tmp_path)  # its last checkpoint is that of the last epoch
    train(again, data, CONFIG, folder=tmp_path)
    for name, parameter in whole.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter)


def test_a_second_training_gathers_anew(create: Create, data: Images) -> None:
    learner, other = (create(**SMALL, gaussian_mean=1.0) for _ in range(2))  # so that the first epoch counts
    learner.end_epoch(0, 4)  # a training that was given up
    for each in (learner, other):
        train(each, data, CONFIG)
    for name, parameter in other.named_parameters():
        assert torch.equal(learner.get_parameter(name), parameter)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_weight": -1.0}, "option text_weight = -1.0"),
        ({"gaussian_std": 0.0}, "option gaussian_std = 0.0"),
        ({"gaussian_mean": "late"}, "option gaussian_mean = 'late'"),
        ({"templates": ["a photo"]}, "'a photo' has no {}"),
        ({"templates": []}, "option templates"),
        ({"depth_text": 4}, "depth_text 4 is too large: the text tower of tiny_vit has 3 layers"),
    ],
)
def test_wrong_options_get_one_line(create: Create, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        create(**{**SMALL, **options})
    assert "\n" not in str(error.value)

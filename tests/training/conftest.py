"""A small TaI-DPT on a tiny CLIP, and sentences that it can learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.config import DataConfig, TrainConfig
from clipprompt.learners import Learner, create_learner
from clipprompt.training.data import FeatureData, caption_data

CLASSNAMES = ("cat", "dog", "traffic light", "person")
CAPTIONS = [
    "a cat on a sofa",
    "a dog and a cat",
    "two people walk a dog in the park",
    "a traffic light at night",
    "a person waits at the traffic light with a small dog",
    "a cat",
    "a cat on a sofa",
    "somebody looks at a dog",
    "a red traffic light above an empty street in the rain",
    "a man and his cat",
    "one dog",
]
LABELS = [[0], [0, 1], [1, 3], [2], [1, 2, 3], [0], [0], [1, 3], [2], [0, 3], [1]]
CONFIG = TrainConfig(epochs=3, batch_size=4, lr=0.1, seed=5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_learner(tiny_rn_backbone: Backbone) -> Callable[..., Learner]:
    def make(seed: int = 3, **options: object) -> Learner:
        return create_learner("tai_dpt", tiny_rn_backbone, CLASSNAMES, seed=seed, **{"n_ctx": 2, **options})

    return make


@pytest.fixture
def learner(make_learner: Callable[..., Learner]) -> Learner:
    return make_learner()


@pytest.fixture
def data(learner: Learner) -> FeatureData:
    return caption_data(learner, CAPTIONS, LABELS, DataConfig())


def prompts(learner: Learner) -> dict[str, torch.Tensor]:
    """A copy of the learnt numbers."""
    return {name: value.detach().clone() for name, value in learner.named_parameters()}


def assert_identical(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Asserts equality of every bit."""
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name

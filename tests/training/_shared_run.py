"""A run that several real processes share: what each of them does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.config import DataConfig, TrainConfig, load_config
from clipprompt.errors import UserError
from clipprompt.features.cache import Ints
from clipprompt.learners import Learner, create_learner
from clipprompt.stopping import InterruptedRunError
from clipprompt.training._processes import quiet_unless_first
from clipprompt.training._team import Team
from clipprompt.training.data import WHOLE, Share, TrainingData, caption_data, epoch_batches
from clipprompt.training.loop import train
from clipprompt.training.run import run_training
from tests.conftest import _tiny
from tests.golden import tiny_clip
from tests.training.conftest import CAPTIONS, CLASSNAMES, LABELS

N_IMAGES = 11
Case = tuple[str, str, dict[str, Any]]
"""Method, kind of image tower, options."""
Trained = tuple[list[float], dict[str, npt.NDArray[np.float32]]]
"""Mean losses of the epochs, and the prompts."""


@dataclass(frozen=True)
class RawImages:
    """Noise with labels, encoded at every step."""

    images: Tensor
    labels: Tensor
    is_encoded: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.images)

    def n_batches(self, batch_size: int) -> int:
        return max(1, len(self) // batch_size)

    def batches(
        self, epoch: int, seed: int, batch_size: int, start: int = 0, share: Share = WHOLE
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for samples in epoch_batches(len(self), epoch, seed, batch_size, start, share):
            yield self._take(samples)

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.images, self.labels

    def _take(self, samples: Ints) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(samples)
        return self.images[rows], self.labels[rows]


def raw_images(size: int) -> RawImages:
    generator = torch.Generator().manual_seed(0)
    labels = torch.nn.functional.one_hot(torch.arange(N_IMAGES) % len(CLASSNAMES), len(CLASSNAMES)).float()
    return RawImages(torch.randn(N_IMAGES, 3, size, size, generator=generator), labels)


def tiny_backbone(tower: str) -> Backbone:
    """The tiny CLIP, with a ``vit`` or a ``rn``."""
    weights = tiny_clip.tiny_vit_state_dict if tower == "vit" else tiny_clip.tiny_rn_state_dict
    return _tiny(f"tiny_{tower}_open_clip.json", weights)


def make(method: str, tower: str, options: dict[str, Any]) -> tuple[Learner, TrainingData]:
    """A learner on a tiny CLIP with what it learns from."""
    learner = create_learner(method, tiny_backbone(tower), CLASSNAMES, seed=3, **options)
    if learner.trains_on == "captions":
        return learner, caption_data(learner, CAPTIONS, LABELS, DataConfig())
    return learner, raw_images(learner.backbone.image_size)


def train_share(case: Case, config: TrainConfig, team: Team | None = None) -> Trained:
    """Trains in this process, one of ``config.devices``; returns the losses and the prompts."""
    learner, data = make(*case)
    result = train(learner, data, config, team=team)
    return result.losses, {name: value.detach().numpy().copy() for name, value in learner.named_parameters()}


def train_shares(runs: Sequence[tuple[Case, TrainConfig]], say: Callable[[str], None]) -> list[Trained]:
    """Several runs, one after another, in processes that are started once."""
    torch.set_num_threads(1)
    with quiet_unless_first():
        team = Team.join(torch.device("cpu"), runs[0][1].devices)
        say(f"process {team.rank} of {team.size}")
        return [train_share(case, config, team) for case, config in runs]


def run_shared(folder: str, settings: list[str], told: str) -> None:
    """A whole run from its configuration; how it ends goes to a file and into the exit code, as on the command line."""
    torch.set_num_threads(1)
    said = list[str]()
    try:
        run_training(load_config("tai_dpt", settings), folder, said.append)
        code = 0
    except UserError as error:
        said, code = [str(error)], 2
    except InterruptedRunError as stop:
        said, code = [str(stop)], 128 + stop.signum
    Path(told).write_text("\n".join(said))
    raise SystemExit(code)

r"""Tags for pictures, one by one as they come, with or without a trained prompt and with any class list.

paths --decode (threads)--> pixels --batch--> tower --> scores [--> probabilities] --> top k above their thresholds
\------------------------------------------ size, thumbnail ---------------------------------> ImageTags
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from clipprompt.backbone import Backbone
from clipprompt.datasets.decoding import UnreadableImageError, decode_image
from clipprompt.errors import UserError
from clipprompt.features.images import (
    ImageBatch,
    check_loading,
    encode_images,
    image_batches,
    what_learners_read,
)
from clipprompt.inference._choice import Threshold, answers, chosen, thresholds_for
from clipprompt.inference._models import Prompts, learner_for
from clipprompt.inference._tags import Answer, ImageTags, Tag
from clipprompt.inference.calibration import read_calibration, warn_if_calibrated_elsewhere
from clipprompt.learners import DenseLearner, ImageFeatures, Learner, load_learner

__all__ = ["ImageTags", "Tag", "Tagger"]

Floats = npt.NDArray[np.floating[Any]]
Heat = dict[int, npt.NDArray[np.float32]]


@dataclass(eq=False)
class _Job:
    """A picture on its way."""

    number: int
    path: str
    size: tuple[int, int] | None = None
    thumbnail: Image.Image | None = None


class Tagger:
    """Says which labels a picture shows.

    Probabilities come from the calibration in the prompt folder (``clipprompt calibrate``); without one there are
    scores, which rank labels and mean nothing by themselves.

    Attributes:
        learner: the prompt with the labels as its class names.
        labels: C class names.
        calibration: of the prompt, or None.
        thresholds: (C,) least values of probabilities, or of scores without a calibration; None for no threshold.
        bands: of probabilities, as :meth:`Calibration.bands`; None where there is no calibration, or one without them.
    """

    def __init__(
        self,
        backbone: Backbone | str | None,
        prompts: Prompts | None = None,
        labels: Sequence[str] | None = None,
        *,
        top_k: int = 5,
        threshold: Threshold = None,
        uncertain: bool = False,
        heat_maps: int = 0,
        thumbnails: int | None = None,
        batch_size: int = 32,
        workers: int = 4,
        draft: bool = False,
    ) -> None:
        """Loads what is named and encodes the labels.

        Args:
            backbone: a CLIP or its name; None for the one that the prompt was learnt on.
            prompts: a learner or a prompt folder; None for zero-shot CLIP with "a photo of a {}.".
            labels: class names; None for the prompt's own.
            top_k: labels of a picture at most.
            threshold: least probability (least score without a calibration); ``auto`` for the calibrated one of each
                label; None for ``auto`` where there is a calibration, and else none.
            uncertain: with the calibrated thresholds, also labels below them that cannot be excluded.
            heat_maps: how many of the best labels get one, if the learner has a local branch.
            thumbnails: longest side in pixels of the small copies; None for no copies.
            batch_size: pictures that are encoded together.
            workers: threads that decode; 0 decodes in the caller's.
            draft: decode JPEG files at a reduced size that still fills the model's: faster, and slightly other scores.

        Raises:
            UserError: if something cannot be loaded, does not fit, or a number is impossible.
        """
        if top_k < 1:
            raise UserError(f"top k = {top_k}: a picture can have 1 label or more")
        if heat_maps < 0 or (thumbnails is not None and thumbnails < 1):
            raise UserError(f"{heat_maps} heat maps and thumbnails of {thumbnails} pixels: at least 0 and 1 are needed")
        self.learner, folder = learner_for(backbone, prompts, labels)
        self.labels = self.learner.classnames
        self.calibration = None if folder is None else read_calibration(folder)
        if folder is not None and self.calibration is not None:
            warn_if_calibrated_elsewhere(folder, self.calibration, self.backbone)
        self.thresholds = thresholds_for(threshold, self.calibration, self.labels, uncertain=uncertain)
        self.bands = None if self.calibration is None else self.calibration.bands(self.labels)
        self._learners = [self.learner]
        if folder is not None and self.calibration is not None:
            self._learners.append(load_learner(folder, self.backbone, self.calibration.reference))
        self._transform = check_loading(self.backbone, batch_size, workers)
        self._wanted = what_learners_read(self._learners)
        if not heat_maps and self.learner.branch == "global":  # no places are read
            self._wanted = self._wanted._replace(places=())
        self._top_k, self._heat_maps, self._thumbnails = top_k, heat_maps, thumbnails
        self._batch_size, self._workers = batch_size, workers
        self._draft = self.backbone.image_size if draft else None

    @property
    def backbone(self) -> Backbone:
        """The frozen CLIP."""
        return self.learner.backbone

    def tag(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[ImageTags]:
        """Yields the labels of pictures in the order of their paths; one that cannot be read has an ``error`` instead.

        Args:
            paths: may be endless: three batches are in memory, and as many whole pictures as there are workers.
        """
        if isinstance(paths, str | bytes):
            raise UserError(f"paths are a list, not one string: [{paths!r}] for a single picture")
        jobs = (_Job(number, os.fsdecode(path)) for number, path in enumerate(paths))
        batches = image_batches(self.backbone, jobs, self._open, batch_size=self._batch_size, workers=self._workers)
        for batch in batches:
            yield from self._results(batch)

    def _open(self, job: _Job) -> Image.Image:
        image, job.size = decode_image(job.path, draft=self._draft)
        if self._thumbnails is not None:
            job.thumbnail = image.copy()
            job.thumbnail.thumbnail((self._thumbnails, self._thumbnails))
        return image

    def _results(self, batch: ImageBatch[_Job]) -> list[ImageTags]:
        found = [(job.number, ImageTags(job.path, error=_reason(error))) for job, error in batch.unreadable]
        if batch.items:
            try:
                tags = self._tags_of(batch)
            except torch.OutOfMemoryError as error:
                many = f"{len(batch.items)} pictures at once do not fit into the memory of {self.backbone.device}"
                raise UserError(f"{many}; try a smaller batch size") from error
            found += zip((job.number for job in batch.items), tags, strict=True)
        return [tags for _, tags in sorted(found, key=lambda entry: entry[0])]

    @torch.inference_mode()
    def _tags_of(self, batch: ImageBatch[_Job]) -> list[ImageTags]:
        frozen = self.learner.image_side_is_frozen
        features = encode_images(self.backbone, batch.images, self._wanted).seen_by(self.learner) if frozen else None
        scores, *reference = [_scores(learner, batch.images, features) for learner in self._learners]
        finite = np.isfinite(np.concatenate([scores, *reference], axis=1)).all(axis=1)
        values = scores if self.calibration is None else self._probabilities(scores, reference[0], finite)
        columns = chosen(values, self.thresholds, self._top_k)
        said = [] if self.bands is None else answers(values, self.bands)
        results = []
        for row, job in enumerate(batch.items):
            if not finite[row]:
                results.append(ImageTags(job.path, error="its scores are not finite; try --precision fp32"))
                continue
            heat = self._heat(features, row, columns[row], batch.images.shape[-2:])
            answer = said[row] if said else None
            tags = tuple(self._tag(column, scores[row], values[row], heat, answer) for column in columns[row])
            results.append(ImageTags(job.path, tags, None, job.size, job.thumbnail, self._view(job)))
        return results

    def _tag(self, column: int, scores: Floats, values: Floats, heat: Heat, answer: Sequence[Answer] | None) -> Tag:
        probability = None if self.calibration is None else float(values[column])
        said = None if answer is None else answer[column]
        return Tag(self.labels[column], float(scores[column]), probability, heat.get(column), said)

    def _probabilities(self, scores: Floats, reference: Floats, finite: npt.NDArray[np.bool_]) -> Floats:
        assert self.calibration is not None
        values = np.zeros(scores.shape)
        values[finite] = self.calibration.probabilities(scores[finite], reference[finite], self.labels)
        return values

    def _heat(self, features: ImageFeatures | None, row: int, columns: list[int], size: tuple[int, ...]) -> Heat:
        """Heat maps (rows, columns) of an image's best labels, by label."""
        best = columns[: self._heat_maps]
        if not best or features is None or not isinstance(self.learner, DenseLearner):
            return {}
        one = ImageFeatures(features.global_[row : row + 1], features.local[row : row + 1])
        maps = self.learner.local_logits_map(one)[0, :, best]
        rows = size[0] // self.backbone.vision.patch_size
        return dict(zip(best, maps.T.reshape(len(best), rows, -1).float().cpu().numpy(), strict=True))

    def _view(self, job: _Job) -> tuple[float, float, float, float] | None:
        return None if job.size is None else self._transform.view(job.size)


def _scores(learner: Learner, images: Tensor, features: ImageFeatures | None) -> Floats:
    logits: Tensor = learner(images) if features is None else learner.logits_from(features)
    return logits.float().cpu().numpy()


def _reason(error: UserError) -> str:
    return error.reason if isinstance(error, UnreadableImageError) else str(error)

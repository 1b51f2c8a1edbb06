"""What the records of a job with several classes a picture say of its training."""

from __future__ import annotations

from pathlib import Path

from clipprompt.config import RunConfig
from clipprompt.datasets import MultiLabelImages
from clipprompt.datasets.partial.learnt import hash_labels
from clipprompt.errors import UserError
from clipprompt.evaluation.ensembles.pictures import picture_keys
from clipprompt.evaluation.job_tests._facts import NOTHING, Learnt, describe_selection
from clipprompt.evaluation.protocols.jobs import Job
from clipprompt.evaluation.protocols.one_class_sets import folder_name
from clipprompt.evaluation.provenance import describe_training
from clipprompt.training.drawn_images import see_images


def describe_learnt(job: Job, config: RunConfig, tested: MultiLabelImages, seconds: float | None) -> Learnt:
    """How a job's prompt was learnt, from pictures with several classes, from captions, or from both.

    Args:
        job: that it belongs to.
        config: of its run, with the place of its data.
        tested: all pictures of the part that is tested.
        seconds: that learning took.

    Raises:
        UserError: if what was learnt from cannot be read, or some of it is tested.
    """
    if not job.learns:
        return NOTHING
    trained_on, draw_hash, selection = None, None, describe_selection(config, None, "captions")
    if job.learns_from_pictures:
        seen = see_images(config)
        if n_shared := len(picture_keys(seen.pool) & picture_keys(tested)):
            raise UserError(f"{n_shared:,} pictures of {tested.name} are learnt from too; test on others")
        trained_on, draw_hash = folder_name(job.dataset), hash_labels(seen.train)
        selection = describe_selection(config, "others of the training pictures" if seen.val else None)
    return Learnt(
        trained_on=trained_on,
        draw_hash=draw_hash,
        selection=selection,
        training=describe_training(config),
        train_seconds=seconds,
    )


def name_corpus(job: Job, config: RunConfig) -> str | None:
    """The corpus that was learnt from, without its folder; its fingerprint stands with the training."""
    learns_captions = job.learns and job.learns_from != "images"
    return Path(config.data.corpus).stem if learns_captions and config.data.corpus is not None else None

"""A prompt as plain numbers, for people who have open_clip and nothing else.

    class_embeddings (C, E)   logit_scale ()                                  scale * image features @ embeddings.T
    class_embeddings_local (C, E)   spatial_scale ()                          learners with a local branch

The file is checked before it is written: its numbers give the learner's own logits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from clipprompt.errors import UserError
from clipprompt.files import write_tensors
from clipprompt.learners import DenseLearner, ImageFeatures, Learner, load_backbone_for, load_learner
from clipprompt.sharing._metadata import describe_classifier

_EXACT = 1e-5  # of logits, relative to the largest; of features, which have length 1


class Classifier(NamedTuple):
    """What an exported file holds.

    Attributes:
        tensors: ``class_embeddings``, ``logit_scale``, and for a local branch its two.
        metadata: class names (JSON), method, backbone, weights tag, image size, format, open_clip's arguments (JSON).
        pools_as_clip: whether open_clip's ``encode_image`` gives the features that the embeddings are meant for.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    pools_as_clip: bool


def load_for_export(
    folder: str | os.PathLike[str],
    classnames: Sequence[str] | None = None,
    backbone: str | None = None,
    pretrained: str | None = None,
    device: str = "auto",
) -> Learner:
    """Loads a prompt with its recorded backbone, or with another, in float32.

    Args:
        folder: written by ``learner.save``, or a run folder.
        classnames: other class names than the recorded ones.
        backbone: another backbone than the recorded one.
        pretrained: its weights tag, or another tag for the recorded one.
        device: where it computes.

    Raises:
        UserError: if the folder is no prompt, or does not fit the backbone or the class names.
    """
    return load_learner(folder, load_backbone_for(folder, backbone, pretrained, device, "fp32"), classnames)


@torch.no_grad()
def build_classifier(learner: Learner) -> Classifier:
    """The class embeddings and scales of a learner.

    Raises:
        UserError: for a learner whose logits are no scaled cosines of CLIP's image feature with one embedding per
            class: it changes the image tower, or its text depends on the image.
    """
    _check_exportable(learner)
    numbers = {
        "class_embeddings": learner.class_features(),
        "logit_scale": _scale(learner, "temperature", "logit_scale"),
    }
    if isinstance(learner, DenseLearner):
        numbers["class_embeddings_local"] = learner.local_class_features()
        numbers["spatial_scale"] = _scale(learner, "spatial_temperature", "spatial_scale_image", "spatial_scale")
    tensors = {key: value.detach().float().cpu().contiguous().clone() for key, value in numbers.items()}
    _check_logits(learner, tensors)
    return Classifier(tensors, describe_classifier(learner), _pools_as_clip(learner))


def write_classifier(classifier: Classifier, path: str | os.PathLike[str]) -> None:
    """Writes the file, whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    write_tensors(path, classifier.tensors, classifier.metadata)


def check_target(path: Path) -> None:
    """Refuses a name that is no safetensors file's, before anything is computed.

    Raises:
        UserError: naming it.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"--to {path} must end in .safetensors")
    if path.is_dir():
        raise UserError(f"--to {path} is a folder; name a file in it")


def _check_exportable(learner: Learner) -> None:
    if not learner.has_text_features:
        raise UserError(
            f"{learner.name} answers with a head of its own, and has no class embeddings to export; "
            "share the prompt folder instead (clipprompt push)"
        )
    if not learner.image_side_is_frozen:
        raise UserError(
            f"{learner.name} changes the image tower, so no class embeddings say what it does; "
            "share the prompt folder instead (clipprompt push)"
        )
    if learner.text_side_sees_the_image:
        raise UserError(
            f"{learner.name} judges each image by more than class embeddings, so none say what it does; "
            "share the prompt folder instead (clipprompt push)"
        )


def _scale(learner: Learner, learnt: str, *options: str) -> Tensor:
    """A learnt scale, or the one that an option fixes, or CLIP's."""
    parameters = dict(learner.named_parameters())
    if learnt in parameters:
        return parameters[learnt].exp()
    fixed = [value for option in options if (value := getattr(learner.options, option, None)) is not None]
    return torch.tensor(fixed[0] if fixed else learner.backbone.logit_scale)


def _check_logits(learner: Learner, tensors: dict[str, Tensor]) -> None:
    """Holds the numbers to the learner's logits on random features."""
    drawn = torch.randn(4, 8, learner.backbone.embed_dim, generator=torch.Generator().manual_seed(0))
    whole, local = F.normalize(drawn[:, 0], dim=-1), F.normalize(drawn[:, 1:], dim=-1)
    features = ImageFeatures(whole.to(learner.backbone.device), local.to(learner.backbone.device))
    scale = tensors["logit_scale"]
    pairs = [(learner.logits_from(features), scale * whole @ tensors["class_embeddings"].T)]
    if isinstance(learner, DenseLearner):
        branches, cosines = learner.branch_logits_from(features), local @ tensors["class_embeddings_local"].T
        weights = (tensors["spatial_scale"] * cosines).softmax(dim=1)
        pairs = [(branches.global_, pairs[0][1]), (branches.local, scale * (cosines * weights).sum(dim=1))]
    for ours, plain in pairs:
        if (ours.cpu() - plain).abs().max() > _EXACT * ours.abs().max():
            raise UserError(
                f"{learner.name} scores images by more than one embedding per class and a scale, so it cannot be "
                "exported; share the prompt folder instead (clipprompt push)"
            )


def _pools_as_clip(learner: Learner) -> bool:
    """Whether plain ``encode_image`` gives the learner's image feature; seen on one drawn image."""
    size = learner.backbone.image_size
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    plain = F.normalize(learner.backbone.encode_image(image), dim=-1)
    return bool((plain - learner.frozen_features(image).global_).abs().max() < _EXACT)

"""The contract of a learner: all trainable parameters and no CLIP weight, split into a frozen and a learnt part.

    images  --encode_images (frozen, cacheable)--> ImageFeatures --logits_from--> logits --+
                                                                                           +--> loss
    captions --encode_captions (frozen, cacheable)--> CaptionFeatures --loss_from----------+

``forward`` and ``loss`` are the two parts in a row; training and evaluation call the parts, so that what no learnable
number can change is computed once.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional as F

from clipprompt import losses
from clipprompt.backbone import Backbone, Hidden, VisionTower
from clipprompt.errors import UserError
from clipprompt.learners._saving import write_prompt


class ImageFeatures(NamedTuple):
    """What the frozen image tower says of a batch: float32, L2-normalised.

    Attributes:
        global_: (B, E).
        local: (B, P, E), one per place, or (B, 1 + P, E) for a learner with ``places_as_pooled``; empty where a
            learner's own image side reads no places.
        frozen: (B, E) of the tower without prompts, for a learner that holds its own features against them.
    """

    global_: Tensor
    local: Tensor
    frozen: Tensor | None = None


class CaptionFeatures(NamedTuple):
    """Token features of a batch of captions, one caption after another, without padding.

    Attributes:
        tokens: float32 (T, E), L2-normalised; each caption's last one is its end token.
        lengths: long (B,), summing to T.
    """

    tokens: Tensor
    lengths: Tensor


class ImageStates(NamedTuple):
    """What a part of the frozen image tower says of a batch, where a learner goes on from within it.

    Attributes:
        values: (B, tokens, W) that enter a layer, or (B, W) that are pooled.
        grid: rows and columns of places in the image.
    """

    values: Tensor
    grid: tuple[int, int]


Features = ImageFeatures | CaptionFeatures | ImageStates

# Of a class name, as ImageNet's readers append it. \S: a name that is nothing else is said as it is.
_SYNSET = re.compile(r"(?<=\S) \[n\d{8}\]$")


class LearnerOptions(BaseModel):
    """Options of a learner: a field is a configuration key and an argument of ``create_learner``."""

    # Strict: "4" is no number and true is no 1.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Learner(nn.Module, ABC):
    """Base of all learners.

    ``parameters()`` is the trainable set and ``state_dict()`` the checkpoint. The backbone is a plain reference.

    Attributes:
        Options: the class of its options.
        trains_on: what ``loss`` takes first, images or token ids of captions.
        trains_on_both: whether captions and labelled images can be learnt from, alone or together; then ``trains_on``
            is what the method was made for.
        branch: what ``logits_from`` answers with; other than ``global``, it reads the places of an image.
        image_side_is_frozen: image features can be computed once; with some learners an option decides. One of which
            this is not true overrides ``encode_images``, with gradients; whoever has only images calls it itself.
        frozen_part: where ``encode_images`` gives ``ImageStates``, the name of what they are, such as ``pooled`` or
            ``before-11``: equal of all learners of this backbone with the same name, without gradients, and so computed
            once. None where there is no such part.
        reads_training_set: has ``take_training_set``, which training calls before the first step, with epochs or none.
        reads_places: its image features have places; without, they are not computed.
        places_as_pooled: places are read as the attention pool sees them, the mean over them in front as one more, and
            positions added (DualCoOp); otherwise each place alone, without positions.
        text_side_sees_the_image: each image has class features of its own, so no one classifier stands for the prompt.
        has_text_features: class names go through the text tower, so that any can be asked for; without it, a head
            answers for the classes that it was trained for.
        loss_is_a_sum: over the samples of a batch; otherwise it is their mean. Processes that share a batch need it.
        backbone: the shared frozen CLIP.
        options: the options in force.
        classnames: in the order of the logits.
        gathered: what ``end_epoch`` carries from epoch to epoch, by name; checkpoints keep it beside the parameters.
    """

    Options: ClassVar[type[LearnerOptions]]
    trains_on: ClassVar[Literal["captions", "images"]] = "images"
    trains_on_both: ClassVar[bool] = False
    branch: ClassVar[Literal["global", "local", "merged"]] = "global"
    image_side_is_frozen: bool = True
    frozen_part: str | None = None
    reads_training_set: ClassVar[bool] = False
    reads_places: ClassVar[bool] = False
    places_as_pooled: ClassVar[bool] = False
    text_side_sees_the_image: ClassVar[bool] = False
    has_text_features: ClassVar[bool] = True
    loss_is_a_sum: ClassVar[bool] = False

    def __init__(self, backbone: Backbone, options: LearnerOptions, generator: torch.Generator, n_classes: int) -> None:
        """A learner makes its parameters here.

        Args:
            backbone: the shared frozen CLIP.
            options: an instance of the learner's ``Options``.
            generator: source of random parameters, on the CPU.
            n_classes: for class-specific parameters; the names come with ``set_classes``.
        """
        super().__init__()
        self.backbone = backbone
        self.options = options
        self.classnames: tuple[str, ...] = ()
        self.gathered: dict[str, Tensor] = {}
        self._remembered: tuple[list[tuple[Tensor, int]], Tensor] | None = None

    @property
    def name(self) -> str:
        """The learner's file name, which is its name everywhere."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def n_parameters(self) -> int:
        """Numbers that are learnt, and saved."""
        return sum(parameter.numel() for parameter in self.parameters())

    def set_classes(self, classnames: Sequence[str]) -> None:
        """Takes other class names with the same prompt; nothing is trained again.

        Raises:
            UserError: for no, empty, duplicate or too long names.
        """
        cleaned = check_classnames(classnames)
        check_told_apart(self.backbone, cleaned)
        self._embed_classes(cleaned)
        self.classnames = tuple(classnames)
        self._remembered = None

    @property
    def first_of_same_prompt(self) -> list[int]:
        """For each class the first one of which the prompt says the same: itself, but for a synset in brackets.

        Whoever takes the best class of a picture takes this one of it, so that a tie goes to the first whatever the
        order of sums made of two equal texts.
        """
        first: dict[str, int] = {}
        return [first.setdefault(name.lower(), i) for i, name in enumerate(check_classnames(self.classnames))]

    def text_features(self) -> Tensor:
        """Text features, L2-normalised float32: (C, E), or (n_prompts, C, E) for several prompts per class.

        Without gradients they are computed once and kept until a parameter or the classes change (a change through
        ``parameter.data`` is not seen).
        """
        if torch.is_grad_enabled() or any(p.is_inference() for p in self.parameters()):  # the latter have no versions
            return self._compute_text_features()
        versions: list[tuple[Tensor, int]] = [(p, p._version) for p in self.parameters()]
        if self._remembered is None or not _same(self._remembered[0], versions):
            self._remembered = (versions, self._compute_text_features())
        return self._remembered[1]

    def class_features(self) -> Tensor:
        """One L2-normalised feature per class, float32 (C, E); of several prompts the first, global one."""
        features = self.text_features()
        return features if features.dim() == 2 else features[0]

    def encode_images(self, images: Tensor) -> ImageFeatures | ImageStates:
        """What the learnt part starts from, for images (B, 3, H, W) as the backbone's transform makes them."""
        return self.frozen_features(images)

    def frozen_features(self, images: Tensor) -> ImageFeatures:
        """The features (B, E) of the frozen image tower, and its places where the learner reads them."""
        with torch.no_grad():
            return self.features_from(self.backbone.vision.trunk(images.to(self.backbone.device)))

    def encode_captions(self, token_ids: Tensor) -> CaptionFeatures:
        """The frozen part for captions, token ids (B, L): every token up to the end token, start token included."""
        text = self.backbone.text
        with torch.no_grad():
            tokens = F.normalize(text.encode_all_tokens(token_ids), dim=-1)
            lengths = text.end_positions(token_ids.to(tokens.device)) + 1
            present = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
            return CaptionFeatures(tokens[present], lengths)

    def features_from(self, hidden: Hidden) -> ImageFeatures:
        """Reads the image tower's trunk, which several learners may share."""
        tower = self.backbone.vision
        with torch.no_grad():
            whole = F.normalize(tower.pool(hidden, positional=self.pools_with_positions), dim=-1)
            if not self.reads_places:
                return ImageFeatures(whole, whole.new_empty(len(whole), 0, whole.shape[-1]))
            return ImageFeatures(whole, project_places(tower, hidden, as_pooled=self.places_as_pooled))

    @property
    def pools_with_positions(self) -> bool:
        """Whether the attention pool adds its positions. Learners that agree read the same features from one trunk."""
        return True

    def logits_from(self, features: Features) -> Tensor:
        """The learner's logits (B, C) from encoded images or captions: CLIP's scaled cosines, unless it has others."""
        return self.backbone.logit_scale * global_cosines(features, self.text_features())

    def loss_from(self, features: Features, labels: Tensor) -> Tensor:
        """The training loss (scalar) from encoded images or captions: the cross-entropy, unless it has another.

        Args:
            features: encoded images or captions.
            labels: long (B,), the one class of each, or multi-hot (B, C): the sum over present classes, unknown ones
                left out.
        """
        return cross_entropy(self.logits_from(features), labels)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) for images (B, 3, H, W)."""
        return self.logits_from(self.encode_images(images))

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Training loss.

        Args:
            inputs: images (B, 3, H, W), or token ids (B, L) of captions for a learner that trains on them. One that
                trains on both tells them apart by their type.
            labels: long (B,) or multi-hot (B, C); 1 present, 0 absent, -1 unknown.
        """
        of_captions = not inputs.is_floating_point() if self.trains_on_both else self.trains_on == "captions"
        features = self.encode_captions(inputs) if of_captions else self.encode_images(inputs)
        return self.loss_from(features, labels.to(self.backbone.device))

    def take_training_set(self, batches: Iterable[tuple[Features, Tensor]]) -> None:
        """Called by training before the first step where ``reads_training_set``, also where it goes on or has no epoch.

        Args:
            batches: all pictures to learn from, once, in their own order: what ``encode_images`` gives of them as
                evaluation sees them, or with ``train.views`` of their first view; and multi-hot labels (B, C).
        """

    def end_epoch(self, epoch: int, n_epochs: int) -> None:
        """Called by training after each epoch, counted from 0, for learners that average over epochs."""

    def end_training(self) -> None:
        """Called by training after the last epoch, before the prompts are kept, unless another epoch's are selected."""

    def make_room(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Called before numbers are loaded, for learners whose state has a size that neither options nor classes say.

        Args:
            shapes: of what will be loaded, by name; those that do not fit are refused after this call.
        """

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes ``prompt.safetensors`` and ``prompt.json``: the parameters, method, options, class names, backbone.

        Raises:
            UserError: if the folder cannot be written to.
        """
        write_prompt(self, Path(folder))

    def kept_state(self) -> dict[str, Tensor]:
        """What ``save`` writes, by parameter: the whole ``state_dict``, of a head the rows of its present classes."""
        return dict(self.state_dict())

    @abstractmethod
    def _embed_classes(self, names: list[str]) -> None:
        """Derives from cleaned class names whatever the text tower needs."""

    @abstractmethod
    def _compute_text_features(self) -> Tensor:
        """The text features, with gradients."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # Prompts, and what is derived from the class names, stay float32 whatever .half() or .to(dtype) asks for.
        moved = super()._apply(lambda t: _keep_float32(t, fn(t)), recurse)  # type: ignore[no-untyped-call]
        self._remembered = None
        return moved


def project_places(tower: VisionTower, hidden: Hidden, *, as_pooled: bool) -> Tensor:
    """L2-normalised features of the places (B, P, E); with ``as_pooled`` the mean token's first, (B, 1 + P, E)."""
    return F.normalize(tower.project(hidden, positional=as_pooled, mean_token=as_pooled), dim=-1)


def global_cosines(features: Features, text: Tensor) -> Tensor:
    """Cosines (B, C) of the image's own feature, or of the caption's end token."""
    if isinstance(features, ImageFeatures):
        return features.global_ @ text.T
    if isinstance(features, ImageStates):
        raise TypeError("states within the image tower have no cosines with texts")
    ends = features.lengths.cumsum(0) - 1
    return features.tokens[ends] @ text.T


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy of logits (B, C): the sum over each image's present classes, unknown ones left out.

    Args:
        logits: (B, C).
        labels: long (B,) or multi-hot (B, C); 1 present, 0 absent, -1 unknown.
    """
    labels = as_multi_hot(labels, logits.shape[1])
    known = logits.masked_fill(labels < 0, torch.finfo(logits.dtype).min)
    return losses.soft_cross_entropy(known, labels.clamp(min=0).to(logits.dtype))


def as_multi_hot(labels: Tensor, n_classes: int) -> Tensor:
    """Labels as multi-hot (B, C): class numbers, long (B,), become rows with a single 1.

    Raises:
        UserError: for labels of another shape, or a number that is no class.
    """
    if labels.dim() == 1 and not labels.is_floating_point():
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
            raise UserError(f"labels must be class numbers from 0 to {n_classes - 1}, not {labels.tolist()[:8]}")
        return F.one_hot(labels.long(), n_classes).float()
    if labels.dim() != 2 or labels.shape[1] != n_classes:
        raise UserError(f"labels have shape {tuple(labels.shape)}; for {n_classes} classes give (B, {n_classes})")
    return labels


def check_classnames(classnames: Sequence[str]) -> list[str]:
    """Class names as a prompt says them: underscores are spaces, and a final full stop is left to the prompt.

    A synset in brackets at the end, ``missile [n04008634]``, tells two classes of one name apart and is not said: the
    class names that CLIP and CoOp have for ImageNet hold two such pairs.

    Raises:
        UserError: for a bare string, no names, an empty name, or a name given twice.
    """
    if isinstance(classnames, str):
        raise UserError(f"class names are a list of strings, not one string: [{classnames!r}] for a single class")
    if len(classnames) == 0:
        raise UserError("there are no class names")
    for raw in classnames:
        if not isinstance(raw, str):
            raise UserError(f"class names are strings; {raw!r} is a {type(raw).__name__}")
        if any("\ud800" <= letter <= "\udfff" for letter in raw):  # bytes that were no UTF-8
            raise UserError(f"class name {raw!r} is not readable text: save it as UTF-8")
    cleaned = [clean_name(name) for name in classnames]
    seen = set[str]()
    for position, (name, raw) in enumerate(zip(cleaned, classnames, strict=True)):
        if not name:
            raise UserError(f"class name {position + 1} is empty: {raw!r}")
        if name.lower() in seen:  # a tokenizer sees no capitals
            raise UserError(f"class name {raw!r} is given twice")
        seen.add(name.lower())
    return [_SYNSET.sub("", name) for name in cleaned]


def clean_name(name: str) -> str:
    """A class name by which classes are told apart: as prompts say it, with the synset that they do not say."""
    return " ".join(name.replace("_", " ").split()).removesuffix(".")


def check_told_apart(backbone: Backbone, names: list[str]) -> None:
    """Refuses cleaned class names that are one to the tokenizer, such as two ways to write an accent, or none at all.

    Raises:
        UserError: naming them.
    """
    rows = backbone.tokenizer(["", *names], context_length=backbone.context_length).tolist()
    seen = {tuple(rows[0]): ""}
    for name, row in zip(names, rows[1:], strict=True):
        twin = seen.setdefault(tuple(row), name)
        if twin != name:
            like = f"is the same as {twin!r}" if twin else "is nothing"
            raise UserError(f"class name {name[:60]!r} {like} to the text tower: write it otherwise, or leave it out")


def _same(one: list[tuple[Tensor, int]], other: list[tuple[Tensor, int]]) -> bool:
    return len(one) == len(other) and all(a is b and m == n for (a, m), (b, n) in zip(one, other, strict=True))


def _keep_float32(before: Tensor, after: Tensor) -> Tensor:
    return before.to(after.device) if before.dtype == torch.float32 and after.dtype != torch.float32 else after

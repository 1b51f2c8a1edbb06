"""From a configuration to a finished run folder: corpus, backbone, learner, cache, training, prompt."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.captions.corpus import load_corpus
from clipprompt.config import DataConfig, RunConfig
from clipprompt.errors import UserError
from clipprompt.features.cache import remove_cache
from clipprompt.learners import Learner, create_learner, learner_class
from clipprompt.stopping import StopRequest, stop_on_signals
from clipprompt.training.data import FeatureData, caption_data, split_validation
from clipprompt.training.loop import TrainResult, train
from clipprompt.training.run_folder import RunFolder, config_hash, open_run
from clipprompt.training.templates import load_templates, template_sentences

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sentences:
    """Labelled sentences to train on: captions first, then template sentences.

    Attributes:
        texts: N sentences.
        labels: N lists of class indices.
        groups: for each caption, what it must not be parted from in a split: its image, or itself.
        classnames: C names.
    """

    texts: list[str]
    labels: list[list[int]]
    groups: list[Hashable]
    classnames: tuple[str, ...]

    def fingerprint(self) -> str:
        """A short hash of everything that is learnt from."""
        text = json.dumps([self.classnames, self.texts, self.labels], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def run_training(config: RunConfig, folder: str | os.PathLike[str], say: Say = lambda _: None) -> TrainResult | None:
    """Trains what ``config`` says, in a run folder. One that is complete is left alone, one cut off is gone on with.

    Args:
        config: typed configuration; ``config.data.corpus`` must be set.
        folder: the run folder, made where there is none.
        say: takes messages for people; they also go to ``log.txt``.

    Returns:
        What was done, or None if the folder was complete.

    Raises:
        UserError: for anything wrong with configuration, data or folder, in one line.
        InterruptedRunError: after Ctrl-C or SIGTERM; the same call goes on with the run.
    """
    sentences = load_sentences(config.data)
    if config.train.epochs > 0 and (kind := learner_class(config.method).trains_on) != "captions":
        raise UserError(f"{config.method} learns from {kind}, but a corpus holds captions")
    config = _pinned(config, "data", sentences.fingerprint())
    with open_run(folder) as run:
        run.claim(config)
        if run.is_complete:
            say(f"{run.path} is complete; nothing to do")
            return None

        def tell(message: str) -> None:
            say(message)
            run.log(message)

        with stop_on_signals() as stop:
            return _run(config, run, sentences, tell, stop)


def _run(config: RunConfig, run: RunFolder, sentences: Sentences, tell: Say, stop: StopRequest) -> TrainResult:
    learner = build_learner(config, sentences.classnames)
    config = _pinned(config, "backbone", learner.backbone.fingerprint())
    run.claim(config)
    run.log(_describe_machine(learner))
    result = TrainResult(0, 0)
    if config.train.epochs > 0:
        if run.checkpoint.exists():
            tell(f"Going on with {run.path}")
        data, validation = _training_data(learner, config, sentences, run, stop)
        tell(
            f"{config.method}: {len(data)} sentences, {len(sentences.classnames)} classes, {config.train.epochs} epochs"
        )
        result = train(
            learner,
            data,
            config.train,
            folder=run.path,
            validation=validation,
            run=config_hash(config),
            stop=stop,
        )
    learner.save(run.path)
    remove_cache(run.cache)
    kept = f"epoch {result.epoch}" if result.epoch else "untrained prompts"
    tell(f"Done: {kept}, {result.steps} steps, in {run.path}")
    return result


def load_sentences(options: DataConfig) -> Sentences:
    """The labelled sentences that ``options`` name.

    Raises:
        UserError: if there is no corpus, it cannot be read, or none of its captions has a class.
    """
    if options.corpus is None:
        raise UserError("no training data: give --dataset corpus.parquet (made by `clipprompt corpus build`)")
    corpus = load_corpus(options.corpus)
    found = [labels.tolist() for labels in corpus.labels]
    if not any(found):
        raise UserError(f"{options.corpus}: none of its {len(corpus)} captions names a class")
    rows = zip(corpus.captions, corpus.image_ids, found, strict=True)
    kept = [row for row in rows if options.keep_empty or row[2]]
    texts, labels = [caption for caption, _, _ in kept], [names for _, _, names in kept]
    groups: list[Hashable] = [caption if image is None else ("image", image) for caption, image, _ in kept]
    extra, extra_labels = template_sentences(load_templates(options.templates), corpus.classnames)
    return Sentences(texts + extra, labels + extra_labels, groups, tuple(corpus.classnames))


def build_learner(config: RunConfig, classnames: Sequence[str]) -> Learner:
    """Loads the backbone and creates the learner with its untrained prompts.

    Raises:
        UserError: if the backbone cannot be loaded, or the learner cannot be used with it.
    """
    backbone = load_configured_backbone(config)
    return create_learner(config.method, backbone, classnames, seed=config.train.seed, **config.learner)


def load_configured_backbone(config: RunConfig) -> Backbone:
    """Loads the backbone that a configuration names."""
    b = config.backbone
    return load_backbone(b.name, b.pretrained, device=b.device, precision=b.precision, image_size=b.image_size)


def _training_data(
    learner: Learner, config: RunConfig, sentences: Sentences, run: RunFolder, stop: StopRequest
) -> tuple[FeatureData, FeatureData | None]:
    def check() -> None:
        stop.raise_if_asked("stopped while encoding captions")

    data = caption_data(learner, sentences.texts, sentences.labels, config.data, run.cache, check)
    if config.train.select == "last":
        return data, None
    kept, held = split_validation(sentences.groups, config.train.val_fraction, config.train.seed)
    # Templates stand behind the captions; they are trained on and never held out.
    templates = np.arange(len(sentences.groups), len(sentences.texts))
    return data.subset(np.concatenate([kept, templates])), data.subset(held)


def _pinned(config: RunConfig, section: str, fingerprint: str) -> RunConfig:
    part = getattr(config, section)
    if part.fingerprint not in (None, fingerprint):
        raise UserError(f"{section}.fingerprint is {part.fingerprint}, but this {section}'s is {fingerprint}")
    return config.model_copy(update={section: part.model_copy(update={"fingerprint": fingerprint})})


def _describe_machine(learner: Learner) -> str:
    device = learner.backbone.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"python {platform.python_version()}, torch {torch.__version__}, {device} ({name}{threads})"

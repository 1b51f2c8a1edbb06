"""From a configuration to a finished run folder: corpus or images, backbone, learner, cache, training, prompt."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from clipprompt.backbone import Backbone, has_text_tower, load_backbone, without_text
from clipprompt.config import RunConfig, TrainConfig
from clipprompt.errors import UserError
from clipprompt.features.cache import remove_cache
from clipprompt.learners import Learner, create_learner, learner_class
from clipprompt.stopping import StopRequest, stop_on_signals
from clipprompt.training._device import claim_device
from clipprompt.training._processes import is_first, n_started, quiet_unless_first, run_in_processes
from clipprompt.training._sizes import describe_sizes
from clipprompt.training._team import Team
from clipprompt.training.both import learn_together
from clipprompt.training.data import TrainingData
from clipprompt.training.labelled_images import load_labelled_images
from clipprompt.training.loop import TrainResult, train
from clipprompt.training.run_folder import RunFolder, config_hash, open_run
from clipprompt.training.sentences import DRAWN, GIVE_CORPUS, load_sentences
from clipprompt.training.source import Say, Source

LoadBackbone = Callable[[RunConfig], Backbone]


@dataclass(frozen=True)
class RunResult(TrainResult):
    """What a run did.

    Attributes:
        skipped: a line for each input that could not be read and was left out.
    """

    skipped: tuple[str, ...] = ()


def load_configured_backbone(config: RunConfig) -> Backbone:
    """Loads the backbone that a configuration names."""
    b = config.backbone
    return load_backbone(b.name, b.pretrained, device=b.device, precision=b.precision, image_size=b.image_size)


def run_training(
    config: RunConfig,
    folder: str | os.PathLike[str],
    say: Say = lambda _: None,
    load: LoadBackbone = load_configured_backbone,
) -> RunResult | None:
    """Trains what ``config`` says, in a run folder. One that is complete is left alone, one cut off is gone on with.

    With ``config.train.devices`` above 1, that many processes share it: started here, or by torchrun.

    Args:
        config: typed configuration; ``config.data.corpus`` or ``config.data.dataset`` must be set.
        folder: the run folder, made where there is none.
        say: takes messages for people; they also go to ``log.txt``.
        load: gives the backbone, for runs that share one; processes that are started here load their own.

    Returns:
        What was done, or None if the folder was complete.

    Raises:
        UserError: for anything wrong with configuration, data or folder, in one line.
        InterruptedRunError: after Ctrl-C or SIGTERM; the same call goes on with the run.
    """
    check_request(config)
    n_processes = n_started()
    if config.train.devices > 1 and n_processes == 1:
        result: RunResult | None = run_in_processes(run_training, (config, folder), config.train.devices, say)
        return result
    with quiet_unless_first():
        return _run_here(_shared_by(n_processes, config), folder, say if is_first() else lambda _: None, load)


def _run_here(config: RunConfig, folder: str | os.PathLike[str], say: Say, load: LoadBackbone) -> RunResult | None:
    source = load_source(config)
    config = _pinned(config, "data", source.fingerprint())
    with open_run(folder, writes=is_first()) as run:
        run.claim(config)
        if run.is_complete:
            if run.writes:
                remove_cache(run.cache)  # of a run that was killed when only this was left to do
            say(f"{run.path} is complete; nothing to do")
            return None

        def tell(message: str) -> None:
            say(message)
            run.log(message)

        with stop_on_signals() as stop:
            return _run(config, run, source, tell, stop, load)


def _run(
    config: RunConfig, run: RunFolder, source: Source, tell: Say, stop: StopRequest, load: LoadBackbone
) -> RunResult:
    claim_device(config.backbone.device, config.train.devices)
    learner = build_learner(config, source.classnames, load)
    config = _pinned(config, "backbone", learner.backbone.fingerprint())
    run.claim(config)
    run.log(_describe_machine(learner))
    result, skipped = TrainResult(0, 0), tuple[str, ...]()
    if config.train.epochs > 0 or learner.reads_training_set:
        if run.checkpoint.exists():
            tell(f"Going on with {run.path}")
        team = Team.join(learner.backbone.device, config.train.devices)
        cached = _cached_on_disk(config)
        with team.first_before_others():  # it writes what the others read
            data, validation, skipped = source.prepare(
                learner, cached, run, tell, lambda: stop.raise_if_asked("stopped before the first step")
            )
        give_training_set(learner, data, config.train.batch_size)
        result = train(
            learner,
            data,
            config.train,
            folder=run.path,
            validation=validation,
            run=config_hash(config),
            stop=stop,
            team=team,
        )
    if run.writes:
        learner.save(run.path)
        remove_cache(run.cache)
        tell(describe_sizes(learner, run.path))
    untrained = "the training pictures" if learner.reads_training_set else "untrained prompts"
    kept = f"epoch {result.epoch}" if result.epoch else untrained
    tell(f"Done: {kept}, {result.steps} steps, in {run.path}")
    return RunResult(**vars(result), skipped=skipped)


def give_training_set(learner: Learner, data: TrainingData, batch_size: int) -> None:
    """Shows a learner that reads all of it before the first step what it will learn from."""
    if learner.reads_training_set:
        batches = data.in_order(batch_size)
        learner.take_training_set((x if data.is_encoded else learner.encode_images(x), labels) for x, labels in batches)


def _shared_by(n_processes: int, config: RunConfig) -> RunConfig:
    """The configuration of a run that torchrun may have started in several processes without saying so in it."""
    if config.train.devices not in (1, n_processes):
        raise UserError(f"train.devices={config.train.devices}, but {n_processes} processes were started")
    return config.model_copy(update={"train": config.train.model_copy(update={"devices": n_processes})})


def _cached_on_disk(config: RunConfig) -> RunConfig:
    """The configuration of a run whose features several processes read: encoded once, by the first."""
    if config.train.devices == 1:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"cache_memory_gb": 0.0})})


def load_source(config: RunConfig) -> Source:
    """The corpus, the labelled images or both that a run learns from.

    Raises:
        UserError: if they cannot be read, or do not go together.
    """
    if not reads_corpus(config):
        return load_labelled_images(config)
    sentences = load_sentences(config.data)
    if config.data.dataset is None:
        return sentences
    return learn_together(sentences, load_labelled_images(config), config)


def reads_corpus(config: RunConfig) -> bool:
    """Whether a run's class names, and what it learns from, come from a corpus of captions, alone or with pictures."""
    learner = learner_class(config.method)
    if config.data.corpus is None:
        return config.data.dataset is None and learner.trains_on == "captions"
    return config.data.dataset is None or learner.trains_on_both


def check_texts(config: RunConfig) -> None:
    """Refuses a method that reads texts on an image tower alone.

    Raises:
        UserError: naming both.
    """
    name = config.backbone.name
    reads_texts = learner_class(config.method).has_text_features
    _refuse(reads_texts and not has_text_tower(name), f"{config.method} {without_text(name)}")


def check_request(config: RunConfig) -> None:
    """Refuses settings that do not go together, before anything is loaded.

    Raises:
        UserError: naming the settings.
    """
    method, data, train = config.method, config.data, config.train
    learner = learner_class(method)
    check_texts(config)
    if (train.epochs > 0 or learner.reads_training_set) and not learner.trains_on_both:
        if learner.trains_on == "captions":
            _refuse(data.dataset is not None, f"{method} learns from captions, not from {data.dataset}: {GIVE_CORPUS}")
        else:
            captions = f"{method} learns from images, but {data.corpus} holds captions"
            mend = "give --dataset IMAGES" if data.dataset is None else "leave out --captions"
            _refuse(data.corpus is not None, f"{captions}: {mend}")
    momentum = TrainConfig().momentum
    _refuse(
        train.optimizer == "adamw" and train.momentum != momentum,
        f"train.momentum={train.momentum} is of SGD, and train.optimizer=adamw has none: leave it out",
    )
    if data.corpus is not None and data.corpus != DRAWN:
        other = not data.corpus.endswith(".parquet") and not Path(data.corpus).is_file()
        _refuse(other, f"{method} learns from captions, but {data.corpus} is no corpus: {GIVE_CORPUS}")
    if data.dataset is None and reads_corpus(config):
        _check_of_captions(config)
        return
    _refuse(train.views > 1 and data.augment is None, f"train.views={train.views} are all the same with {_PLAIN}")
    _refuse(
        data.with_val and train.select != "last",
        f"data.with_val=true learns from the part val, by which train.select={train.select} would choose: "
        "take train.select=last",
    )
    _refuse(
        data.share is not None and data.shots is not None,
        f"data.share={data.share} and data.shots={data.shots} both say how many pictures of each class: leave out one",
    )
    split = f"data.class_split={data.class_split}"
    _refuse(data.class_split > 0 and data.subset == "all", f"{split} has no use with all classes; add subset=base")
    _refuse(
        data.validation is not None and train.select == "last",
        f"data.validation={data.validation} has no use with train.select=last; add --select val",
    )


_PLAIN = "data.augment=none"
_OF_PICTURES: dict[str, object] = {
    "shots": None,
    "share": None,
    "known": None,
    "labels": None,
    "subset": "all",
    "with_val": False,
    "validation": None,
}


def _check_of_captions(config: RunConfig) -> None:
    """Refuses what is said of pictures where there are none."""
    method, views = config.method, config.train.views
    _refuse(views > 0, f"train.views={views} has no use with {method}, which learns from captions")
    for key, unset in _OF_PICTURES.items():
        value = getattr(config.data, key)
        _refuse(value != unset, f"data.{key}={value} is of pictures, and {method} is given captions: add --dataset")


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise UserError(message)


def build_learner(
    config: RunConfig, classnames: Sequence[str], load: LoadBackbone = load_configured_backbone
) -> Learner:
    """Loads the backbone and creates the learner with its untrained prompts.

    Raises:
        UserError: if the backbone cannot be loaded, or the learner cannot be used with it.
    """
    return create_learner(config.method, load(config), classnames, seed=config.train.seed, **config.learner)


def _pinned(config: RunConfig, section: str, fingerprint: str) -> RunConfig:
    part = getattr(config, section)
    if part.fingerprint not in (None, fingerprint):
        raise UserError(
            f"{section}.fingerprint is {part.fingerprint}, but this {section}'s is {fingerprint}: "
            "it is not the one that was meant; put that back, or start another run without this key"
        )
    return config.model_copy(update={section: part.model_copy(update={"fingerprint": fingerprint})})


def _describe_machine(learner: Learner) -> str:
    device = learner.backbone.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"python {platform.python_version()}, torch {torch.__version__}, {device} ({name}{threads})"

"""Trains every learner on few printed pictures and shows what was learnt: accuracy before and after, over seeds.

    python -m tools.learners_table                       # the table of docs/learners.md, about ten minutes
    python -m tools.learners_table --split val --methods coop --set lr=0.01     # how settings were chosen

Sixteen pictures of each of the 20 VOC kinds, one object each, in a style that the mini CLIPs have not seen; 600 others
are scored. They are not augmented: a crop of 8 % of a drawing of 64 pixels shows nothing. Learners of captions see no
picture. Beside each learner stand its own untrained prompts, and above all hand-written and centred text, which cost
nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.captions.corpus import build_corpus
from clipprompt.config import RunConfig, load_config
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.objects import load_drawn
from clipprompt.errors import UserError
from clipprompt.evaluation.scoring import score_images
from clipprompt.files import write_text
from clipprompt.learners import Learner, create_learner, list_learners
from clipprompt.mini.captions import caption_split
from clipprompt.mini.scenes import VOC_CLASSES
from clipprompt.resources import resource
from clipprompt.training.data import TrainingData, caption_data
from clipprompt.training.encoded_pictures import encode_pictures
from clipprompt.training.image_data import ImageData, Pictures
from clipprompt.training.loop import train
from clipprompt.training.sentences import load_sentences

N_SHOTS, N_SCORED, N_CAPTIONS = 16, 600, 10_000
BACKBONES = ("mini", "mini-vit")
_WORDS = "learner.ctx_init=a photo of a"
_BOTH_SIDES = ("n_ctx_text=4", "n_ctx_visual=4", "depth_text=3", "depth_visual=4")
_IMAGE_SIDE = ("epochs=10", "batch_size=16")
# Over configs/methods/METHOD.yaml; chosen with --split val, from two or three learning rates each.
SETTINGS: dict[str, tuple[str, ...]] = {
    "caption_dual": ("n_ctx=4", "epochs=20", "batch_size=32", "lr=0.02"),
    "cocoop": ("epochs=10", "batch_size=16", "lr=0.02"),
    "coop": ("n_ctx=4", _WORDS, "epochs=20", "lr=0.02"),
    "dualcoop": ("n_ctx=4", "epochs=20", "lr=0.02"),
    "ivlp": (*_BOTH_SIDES, *_IMAGE_SIDE, "lr=0.01"),
    "kgcoop": ("epochs=20", "batch_size=32", "lr=0.02"),
    "maple": ("n_ctx=4", "depth=3", *_IMAGE_SIDE, "lr=0.01"),
    "prograd": ("n_ctx=4", _WORDS, "epochs=20", "lr=0.1"),
    "promptsrc": (*_BOTH_SIDES, *_IMAGE_SIDE, "lr=0.02", "gaussian_mean=7", "gaussian_std=2"),
    "vpt": ("n_ctx=8", "depth=4", *_IMAGE_SIDE, "lr=0.03"),
}


class Trained(NamedTuple):
    """One run: accuracies in 0..1."""

    before: float
    after: float
    seconds: float


def objects(part: str, n_images: int) -> MultiLabelImages:
    """The first worn prints of a part; the 20 VOC kinds take turns."""
    drawn = load_drawn("mini-objects", VOC_CLASSES)
    return drawn.images(f"mini-objects:{part}", drawn.part(part)[:n_images], VOC_CLASSES)


def accuracy(learner: Learner, pictures: MultiLabelImages) -> float:
    """The part of single-label pictures whose class has the highest logit."""
    scores = score_images({"": learner}, pictures, batch_size=100).by_key[""]
    logits = scores[learner.branch] if learner.branch in scores else scores["global"]
    return float((logits.argmax(axis=1) == pictures.targets.argmax(axis=1)).mean())


def run(method: str, backbone: Backbone, seed: int, scored: MultiLabelImages, settings: Sequence[str]) -> Trained:
    """Creates a learner, trains it and scores it, both times on the same pictures."""
    config = configured(method, [f"train.seed={seed}", *settings])
    learner = create_learner(method, backbone, VOC_CLASSES, seed=seed, **config.learner)
    before, start = accuracy(learner, scored), time.perf_counter()
    train(learner, training_data(learner, config), config.train)
    seconds = time.perf_counter() - start
    return Trained(before, accuracy(learner, scored), seconds)


def configured(method: str, settings: Sequence[str]) -> RunConfig:
    """The published settings of a method, under those of this table. Captions have those of the demo."""
    own = resource("configs/demo.yaml") if method == "tai_dpt" else None
    return load_config(method, [*SETTINGS.get(method, ()), *settings], own)


def training_data(learner: Learner, config: RunConfig) -> TrainingData:
    """Few pictures, not augmented: encoded once where the image side is frozen. Or captions of undrawn scenes."""
    if learner.trains_on == "images":
        images = objects("train", N_SHOTS * len(VOC_CLASSES))
        pictures = Pictures(images, np.arange(len(images)))
        if learner.image_side_is_frozen:
            return encode_pictures(learner, [pictures], config.data)[0]
        return ImageData(learner.backbone, pictures, augment=False, workers=config.data.workers)
    with tempfile.TemporaryDirectory() as folder:
        captions, corpus = Path(folder) / "captions.txt", Path(folder) / "corpus.parquet"
        write_text(captions, "".join(f"{caption}\n" for caption, _ in caption_split("captions", N_CAPTIONS)))
        build_corpus([captions], "voc2007", corpus)
        sentences = load_sentences(config.data.model_copy(update={"corpus": str(corpus)}))
    return caption_data(learner, sentences.texts, sentences.labels, config.data)


def hand_written(backbone: Backbone, scored: MultiLabelImages) -> Iterator[tuple[str, float]]:
    """What costs nothing: the usual template, and the same with the class mean taken out."""
    for title, centre in (("zero-shot", False), ("zero-shot, centred text", True)):
        yield title, accuracy(create_learner("zero_shot", backbone, VOC_CLASSES, centre=centre), scored)


def trainable(method: str) -> bool:
    """Whether a method has anything to train."""
    return configured(method, ()).train.epochs > 0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--methods", nargs="+", default=[name for name in list_learners() if trainable(name)])
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--split", choices=("val", "test"), default="test", help="settings are chosen on val")
    parser.add_argument("--set", nargs="+", default=(), metavar="KEY=VALUE", help="settings over those of the table")
    options = parser.parse_args(arguments)
    scored, start = objects(options.split, N_SCORED), time.perf_counter()
    print("| backbone | learner | untrained | learnt | seconds a run |\n|---|---|---:|---:|---:|", flush=True)
    for name in options.backbones:
        backbone = load_backbone(name, device="cpu")
        for title, value in hand_written(backbone, scored):
            print(f"| {name} | {title} | {100 * value:.1f} | – | – |", flush=True)
        for method in options.methods:
            if line := row(method, backbone, options.seeds, scored, options.set):
                print(f"| {name} | {method} | {line} |", flush=True)
    minutes = (time.perf_counter() - start) / 60
    print(f"{minutes:.1f} minutes, {torch.get_num_threads()} threads, torch {torch.__version__}", file=sys.stderr)


def row(method: str, backbone: Backbone, seeds: Sequence[int], scored: MultiLabelImages, settings: Any) -> str | None:
    """The cells of a learner; None where it does not go with the backbone, which stderr then says."""
    try:
        runs = [run(method, backbone, seed, scored, settings) for seed in seeds]
    except UserError as error:
        print(f"{backbone.name}: {error}", file=sys.stderr)
        return None
    before, after = ([100 * getattr(one, part) for one in runs] for part in ("before", "after"))
    return f"{_mean(before)} | {_mean(after)} | {statistics.mean(one.seconds for one in runs):.1f}"


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()

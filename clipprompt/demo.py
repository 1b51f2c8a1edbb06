"""The embedded main job: on the bundled world, train TaI-DPT from captions alone and score it on unseen pictures.

    captions of scenes that are never drawn -> corpus -> TaI-DPT --+-> 500 held-out scenes -> table, picture
    the same prompt untrained, differently started, mistrained ----+

The controls tell learning from luck. Untrained prompts and centred text cost nothing; shuffled labels must fall;
labelled pictures are what TaI-DPT does without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipprompt.captions.corpus import build_corpus
from clipprompt.config import RunConfig, TrainConfig, load_config
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.scenes import load_scenes
from clipprompt.evaluation.multilabel import MultiLabelRecord, Row, evaluate_multilabel
from clipprompt.evaluation.records import write_records
from clipprompt.evaluation.rows import zero_shot_rows
from clipprompt.evaluation.scoring import score_images
from clipprompt.files import write_text
from clipprompt.learners import ImageFeatures, Learner, create_learner, load_learner
from clipprompt.mini.captions import caption_split
from clipprompt.reports.multilabel.plots import plot_tagged_images
from clipprompt.resources import resource
from clipprompt.training.data import FeatureData, caption_data, image_data
from clipprompt.training.loop import train
from clipprompt.training.run import load_configured_backbone, run_training
from clipprompt.training.sentences import load_sentences

CLASSES = "voc2007"
N_CAPTIONS, N_SCENES, N_LABELLED = 10_000, 500, 2_000
_PICTURE_SIZE = 256  # scenes are scored at the size the mini CLIP was trained on and shown larger


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        records: one per row, branch and seed.
        corpus: the labelled captions.
        run: folder of the first seed's prompt.
        picture: six tagged scenes.
        results: the records as JSON lines.
    """

    records: list[MultiLabelRecord]
    corpus: Path
    run: Path
    picture: Path
    results: Path


def run_demo(
    folder: str | os.PathLike[str],
    seeds: Sequence[int] = (1,),
    say: Callable[[str], None] = lambda _: None,
    n_captions: int = N_CAPTIONS,
    n_scenes: int = N_SCENES,
    split: str = "test",
    settings: Sequence[str] = (),
) -> DemoResult:
    """Builds the corpus, trains, scores and draws.

    Args:
        folder: where everything goes; prompts and encoded captions that are complete there are not made again.
        seeds: of the prompts; every trained row is trained once per seed.
        say: takes messages for people.
        n_captions: captions of the corpus.
        n_scenes: pictures that are scored.
        split: which held-out pictures; hyper-parameters are chosen on ``val``.
        settings: ``key=value`` settings over ``configs/demo.yaml``.
    """
    place = Path(folder)
    corpus_path = place / "corpus.parquet"
    _build(place, corpus_path, n_captions)
    config = load_config("tai_dpt", settings, resource("configs/demo.yaml"))
    made = _Rows(place, corpus_path, config, say)
    say(f"{n_captions} captions of scenes that are never drawn; {len(made.sentences.groups)} of them name a class")
    rows = made.zero_shot() + [row for seed in seeds for row in made.trained(seed)]
    say(f"scoring {n_scenes} pictures that nothing was trained or chosen on")
    scenes = load_scenes(split, n_scenes)
    records = list(evaluate_multilabel(rows, scenes, batch_size=50))
    result = DemoResult(
        records, corpus_path, place / f"tai_dpt-seed{seeds[0]}", place / "tagged.png", place / "results.jsonl"
    )
    write_records(result.results, records)
    _draw(next(row.learner for row in rows if row.learner.name == "tai_dpt"), split, result.picture)
    return result


def _build(place: Path, corpus: Path, n_captions: int) -> None:
    """The captions as a text file, then the same ``corpus build`` as for any other."""
    captions = place / "captions.txt"
    lines = "".join(f"{caption}\n" for caption, _ in caption_split("captions", n_captions))
    write_text(captions, lines)
    build_corpus([captions], CLASSES, corpus)


class _Rows:
    """Makes the rows of the table on one corpus, seed by seed."""

    def __init__(self, place: Path, corpus: Path, config: RunConfig, say: Callable[[str], None]) -> None:
        data = config.data.model_copy(update={"corpus": str(corpus), "cache": str(place / "cache")})
        self.place, self.config, self.say = place, config.model_copy(update={"data": data}), say
        self.backbone = load_configured_backbone(config)
        self.sentences = load_sentences(data)
        self.labelled = load_scenes("extra", N_LABELLED, classnames=self.sentences.classnames)

    def zero_shot(self) -> list[Row]:
        """Plain and centred text, read as CLIP reads images; and centred text read as TaI-DPT does."""
        names = self.sentences.classnames
        alike = create_learner("zero_shot", self.backbone, names, centre=True, positional=False, spatial_scale=50.0)
        return [*zero_shot_rows(self.backbone, names), Row(alike, "centred text, pooled alike", control=True)]

    def trained(self, seed: int) -> list[Row]:
        """TaI-DPT and its controls."""
        options = self.config.train.model_copy(update={"seed": seed})
        run = self.place / f"tai_dpt-seed{seed}"
        self.say(f"seed {seed}: training TaI-DPT on captions")
        run_training(self.config.model_copy(update={"train": options}), run)
        main = load_learner(run, self.backbone)
        self.say(f"seed {seed}: training the controls")
        captions = caption_data(main, self.sentences.texts, self.sentences.labels, self.config.data)
        order = np.random.default_rng(seed).permutation(len(captions))
        shuffled = replace(captions, labels=[captions.labels[i] for i in order])
        present = [np.flatnonzero(row == 1).tolist() for row in self.labelled.targets]
        images = image_data(main, _encode(main, self.labelled), present)
        controls = {
            "untrained contexts": self._create(seed),
            "started from words": self._train(captions, options, ctx_init="a photo of a"),
            "unified contexts": self._train(captions, options, class_specific=False),
            "shuffled labels": self._train(shuffled, options),
            "labelled images": self._train(images, options, steps_of=captions),
        }
        rows = [Row(main, seed=seed, source=str(run))]
        return rows + [Row(learner, name, control=True, seed=seed) for name, learner in controls.items()]

    def _create(self, seed: int, **options: Any) -> Learner:
        names = self.sentences.classnames
        return create_learner("tai_dpt", self.backbone, names, seed=seed, **{**self.config.learner, **options})

    def _train(
        self, data: FeatureData, options: TrainConfig, steps_of: FeatureData | None = None, **changes: Any
    ) -> Learner:
        learner = self._create(options.seed, **changes)
        if steps_of is not None:  # fewer samples are seen more often, for as many steps
            size = options.batch_size
            epochs = round(options.epochs * steps_of.n_batches(size) / data.n_batches(size))
            options = options.model_copy(update={"epochs": epochs})
        train(learner, data, options)
        return learner


def _encode(learner: Learner, pictures: MultiLabelImages) -> ImageFeatures:
    transform = learner.backbone.preprocess
    assert transform is not None
    parts = []
    for start in range(0, len(pictures), 100):
        batch = range(start, min(start + 100, len(pictures)))
        parts.append(learner.frozen_features(torch.stack([transform(pictures[i]) for i in batch])))
    return ImageFeatures(torch.cat([part.global_ for part in parts]), torch.cat([part.local for part in parts]))


def _draw(learner: Learner, split: str, path: Path) -> None:
    """The first six scenes of the split that show two classes or more."""
    scenes = load_scenes(split, 60)
    several = np.flatnonzero((scenes.targets == 1).sum(axis=1) >= 2)[:6].tolist()
    scores = score_images({"": learner}, scenes.subset(several)).by_key[""]["merged"]
    shown = load_scenes(split, 60, size=_PICTURE_SIZE).subset(several)
    plot_tagged_images(
        [shown[i] for i in range(len(shown))],
        shown.classnames,
        scores,
        shown.targets,
        path,
        title="TaI-DPT, trained on captions alone",
        score_name="logit",
    )

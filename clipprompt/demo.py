"""The embedded main job: on the bundled world, train TaI-DPT from captions alone and score it on unseen pictures.

    captions of scenes that are never drawn -> corpus -> TaI-DPT --+-> 500 held-out scenes -> table, picture
    the same prompt untrained, differently started, mistrained ----+

The controls tell learning from luck. Untrained prompts and centred text cost nothing; shuffled labels must fall;
labelled pictures, which TaI-DPT does without, are the ceiling.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.captions.corpus import build_corpus, load_corpus
from clipprompt.config import RunConfig, load_config
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.scenes import load_scenes
from clipprompt.evaluation.multilabel import MultiLabelRecord, Row, evaluate_multilabel
from clipprompt.evaluation.records import write_records
from clipprompt.evaluation.scoring import score_images
from clipprompt.files import write_text
from clipprompt.learners import ImageFeatures, Learner, create_learner, load_learner
from clipprompt.mini.captions import caption_split
from clipprompt.reports.plots import plot_tagged_images
from clipprompt.resources import resource
from clipprompt.training.data import FeatureData, caption_data, image_data
from clipprompt.training.loop import train
from clipprompt.training.run import load_sentences, run_training

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
        folder: where everything goes; what is complete there is not done again.
        seeds: of the prompts; every trained row is trained once per seed.
        say: takes messages for people.
        n_captions: captions of the corpus.
        n_scenes: pictures that are scored.
        split: which held-out pictures; hyper-parameters are chosen on ``val``.
        settings: ``key=value`` settings over ``configs/protocols/demo.yaml``.
    """
    place = Path(folder)
    corpus_path = place / "corpus.parquet"
    _build(place, corpus_path, n_captions)
    corpus = load_corpus(corpus_path)
    say(f"{n_captions} captions of scenes that are never drawn; {len(corpus)} of them name a class")
    config = load_config("tai_dpt", settings, resource("configs/protocols/demo.yaml"))
    backbone = load_backbone(config.backbone.name, device=config.backbone.device)
    labelled = load_scenes("extra", N_LABELLED)
    rows = _zero_shot_rows(backbone, corpus.classnames)
    for seed in seeds:
        rows += _seed_rows(place, corpus_path, config, backbone, labelled, seed, say)
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


def _zero_shot_rows(backbone: Backbone, classnames: Sequence[str]) -> list[Row]:
    plain: dict[str, Any] = {"positional": False, "spatial_scale": 50.0}  # as TaI-DPT reads images
    return [
        Row(create_learner("zero_shot", backbone, classnames)),
        Row(create_learner("zero_shot", backbone, classnames, centre=True, **plain), "centred text", control=True),
    ]


def _seed_rows(
    place: Path,
    corpus_path: Path,
    config: RunConfig,
    backbone: Backbone,
    labelled: MultiLabelImages,
    seed: int,
    say: Callable[[str], None],
) -> list[Row]:
    """TaI-DPT and its controls for one seed."""
    train_config = config.train.model_copy(update={"seed": seed})
    data_config = config.data.model_copy(update={"corpus": str(corpus_path), "cache": str(place / "cache")})
    config = config.model_copy(update={"train": train_config, "data": data_config})
    run = place / f"tai_dpt-seed{seed}"
    say(f"seed {seed}: training TaI-DPT on captions")
    run_training(config, run)
    main = load_learner(run, backbone)

    def create(**options: Any) -> Learner:
        return create_learner("tai_dpt", backbone, main.classnames, seed=seed, **{**config.learner, **options})

    def trained(data: FeatureData, **options: Any) -> Learner:
        learner = create(**options)
        # As many steps as TaI-DPT has, also on fewer samples.
        epochs = round(train_config.epochs * captions.n_batches(size) / data.n_batches(size))
        train(learner, data, train_config.model_copy(update={"epochs": epochs}))
        return learner

    say(f"seed {seed}: training the controls")
    sentences, size = load_sentences(data_config), train_config.batch_size
    captions = caption_data(main, sentences.texts, sentences.labels, data_config)
    order = np.random.default_rng(seed).permutation(len(captions))
    shuffled = replace(captions, labels=[captions.labels[i] for i in order])
    images = image_data(main, _encode(main, labelled), [np.flatnonzero(row == 1).tolist() for row in labelled.targets])
    controls = {
        "untrained contexts": create(),
        "started from words": trained(captions, ctx_init="a photo of a"),
        "unified contexts": trained(captions, class_specific=False),
        "shuffled labels": trained(shuffled),
        "labelled images": trained(images),
    }
    rows = [Row(main, seed=seed, source=str(run))]
    return rows + [Row(learner, name, control=True, seed=seed) for name, learner in controls.items()]


def _encode(learner: Learner, pictures: MultiLabelImages) -> ImageFeatures:
    transform = learner.backbone.preprocess
    assert transform is not None
    parts = []
    for start in range(0, len(pictures), 100):
        batch = range(start, min(start + 100, len(pictures)))
        parts.append(learner.encode_images(torch.stack([transform(pictures[i]) for i in batch])))
    return ImageFeatures(*(torch.cat(pieces) for pieces in zip(*parts, strict=True)))


def _draw(learner: Learner, split: str, path: Path) -> None:
    """The first six scenes of the split that show two classes or more."""
    scenes = load_scenes(split, 60)
    several = np.flatnonzero((scenes.targets == 1).sum(axis=1) >= 2)[:6].tolist()
    scores = score_images({"": learner}, scenes.subset(several))[""]["merged"]
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

"""Tests of a base-to-novel sweep: the tower passed by every run, as is usual, against features that all runs share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.evaluation.job_tests.one_class import Evaluation, evaluate_tests
from clipprompt.evaluation.protocols.planning import Job, load_protocol, plan_jobs
from clipprompt.features.images import Wanted, encode_images, image_batches
from clipprompt.learners import Learner, create_learner
from tools.bench._measure import Row, compare
from tools.bench.images import find_photos

MODELS = ("ViT-B-32",)
METHODS, SEEDS = ("coop", "kgcoop", "prograd"), (1, 2, 3)
HALVES = (("kind 0", "kind 1", "kind 2", "kind 3"), ("kind 4", "kind 5", "kind 6", "kind 7"))
N_OF_EACH = 8
WORKERS, BATCH = 4, 64


def rows() -> Iterator[Row]:
    """One row per model: nine runs of three language learners, each tested on base and novel classes."""
    with tempfile.TemporaryDirectory() as place:
        folder, source = make_set(Path(place))
        for name in MODELS:
            what = f"tests of {len(METHODS) * len(SEEDS)} base-to-novel runs, {name}"
            note = f"{8 * N_OF_EACH} pictures ({source}), random weights; features are made anew in every repeat"
            yield compare(what, partial(make_plain, name, folder), partial(make_ours, name, folder), (1, 3), note)


def make_plain(name: str, folder: Path) -> Callable[[], object]:
    """Every run decodes and encodes its test pictures, as evaluation loops over a data loader do."""
    backbone = load_backbone(name, None if name == "mini" else "random", device="cpu")
    runs = list(_runs(backbone, folder))

    @torch.inference_mode()
    def step() -> list[float]:
        return [_accuracy(learner, folder, half) for learner, _ in runs for half in HALVES]

    return step


def make_ours(name: str, folder: Path) -> Callable[[], object]:
    """What the sweep does: features of the whole part once, on disk, and every run reads them."""
    backbone = load_backbone(name, None if name == "mini" else "random", device="cpu")
    runs = list(_runs(backbone, folder))

    def step() -> list[float]:
        with tempfile.TemporaryDirectory() as cache:
            how = Evaluation(cache=Path(cache), batch_size=BATCH, workers=WORKERS)
            return [
                record["accuracy"]
                for learner, job in runs
                for record in evaluate_tests(learner, job, job.config(), how)
            ]

    return step


def _accuracy(learner: Learner, folder: Path, names: Sequence[str]) -> float:
    learner.set_classes(names)
    labelled = [(path, label) for label, name in enumerate(names) for path in sorted(folder.glob(f"test/{name}/*"))]
    wanted = Wanted((True,), ())
    batches = image_batches(learner.backbone, [path for path, _ in labelled], batch_size=BATCH, workers=WORKERS)
    features = (encode_images(learner.backbone, batch.images, wanted).seen_by(learner) for batch in batches)
    answers = torch.cat([learner.logits_from(batch).argmax(dim=1) for batch in features])
    return float((answers == torch.tensor([label for _, label in labelled])).double().mean())


def _runs(backbone: Backbone, folder: Path) -> Iterator[tuple[Learner, Job]]:
    settings = ["train.epochs=0", "train.select=last"]
    for job in plan_jobs(load_protocol("base-to-novel"), METHODS, [str(folder)], seeds=SEEDS, settings=settings):
        yield create_learner(job.method, backbone, HALVES[0], seed=job.seed or 0, **job.config().learner), job


def make_set(folder: Path) -> tuple[Path, str]:
    """Class folders with a train and a test part. What is in the pictures does not matter for the time."""
    photos, source = find_photos(folder)
    for part, n_of_each in (("train", 1), ("test", N_OF_EACH)):
        for kind, name in enumerate(chain(*HALVES)):
            place = folder / "set" / part / name
            place.mkdir(parents=True)
            for n in range(n_of_each):
                shutil.copyfile(photos[(kind * n_of_each + n) % len(photos)], place / f"{n}.jpg")
    return folder / "set", source

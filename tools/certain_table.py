"""Measures how often certain answers are right, for docs/calibration.md.

    python -m tools.certain_table FOLDER [--split val]

FOLDER keeps what is made on the way, and may be that of ``tools.calibration_table``. Calibrated is on scenes of the
split "val", measured on others of "test"; with ``--split val``, on which choices were made, on "extra" and "val".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipprompt.config import load_config
from clipprompt.datasets import MultiLabelImages
from clipprompt.datasets.scenes import load_scenes
from clipprompt.inference._choice import answers
from clipprompt.inference._samples import image_samples
from clipprompt.inference.calibrating import reference_names
from clipprompt.learners import Learner, create_learner, load_learner
from clipprompt.training.run import run_training
from tools.calibration_table import Made, Scored

SEEDS = (1, 2, 3)
N_SCENES, N_FEW, SHARE = 500, 100, 0.1
DUALCOOP = (
    "data.dataset=mini:train",
    "data.n_images=2000",
    "data.augment=null",
    "data.known=0.5",
    "learner.n_ctx=4",
    "learner.logit_scale=5.0",
    "learner.spatial_scale=5.0",
    "train.epochs=20",
    "train.batch_size=64",
    "train.lr=0.2",
)
"""Half of the labels of 2,000 scenes, with the settings of the protocol of partial labels."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes what is missing in the folder, and prints the table as Markdown."""
    parser = argparse.ArgumentParser(description="Measures certain answers.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="test", choices=["test", "val"])
    given = parser.parse_args(arguments)
    fit, test = ("val", "test") if given.split == "test" else ("extra", "val")
    made = Made(given.folder, None)
    pictures, tested = (_drawn(load_scenes(split, N_SCENES)) for split in (fit, test))
    print(
        "| prompt | calibrated on | present of “yes” | of the present: “yes” | “uncertain” | “no” "
        "| present of “no” | “uncertain” of all |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for title, learners in _learners(made):
        rows: dict[str, list[list[float]]] = {}
        for number, learner in enumerate(learners):
            whole, looked_at = _score(learner, pictures), _score(learner, tested)
            for seed in SEEDS if len(learners) == 1 else SEEDS[number : number + 1]:
                for name, source in _sources(made, learner, whole, seed):
                    rows.setdefault(name, []).append(_measure(source, looked_at))
        for name, numbers in rows.items():
            _print_row(title, name, np.array(numbers))
    return 0


def _learners(made: Made) -> Iterator[tuple[str, list[Learner]]]:
    names = load_scenes("val", 1).classnames
    yield "zero-shot CLIP", [create_learner("zero_shot", made.backbone, names)]
    runs = [made.run(f"tai_dpt-{seed}", made.train, f"train.seed={seed}") for seed in SEEDS]
    yield "TaI-DPT", [load_learner(run, made.backbone) for run in runs]
    for seed in SEEDS:
        config = load_config("dualcoop", [*DUALCOOP, f"train.seed={seed}"])
        run_training(config, made.folder / f"dualcoop-{seed}", say=_say)
    yield "DualCoOp", [load_learner(made.folder / f"dualcoop-{seed}", made.backbone) for seed in SEEDS]


def _sources(made: Made, learner: Learner, whole: Scored, seed: int) -> Iterator[tuple[str, Scored]]:
    samples = whole.samples
    yield f"{N_SCENES} pictures", whole
    few = np.random.default_rng(seed).permutation(N_SCENES)[:N_FEW]
    yield (
        f"{N_FEW} pictures",
        replace(whole, samples=replace(samples, scores=samples.scores[few], targets=samples.targets[few])),
    )
    unknown = np.random.default_rng(seed).random(samples.targets.shape) >= SHARE
    known = np.where(unknown, -1, samples.targets).astype(np.int8)
    yield f"{N_SCENES} pictures, 10 % of the labels", replace(whole, samples=replace(samples, targets=known))
    if learner.name != "dualcoop":
        yield "captions alone", made.captions(learner, made.all_held)


def _drawn(pictures: MultiLabelImages) -> MultiLabelImages:
    """The scenes as pictures in memory, so that each is drawn once."""
    return replace(pictures, items=[pictures[row] for row in range(len(pictures))], open_item=lambda picture: picture)


def _score(learner: Learner, pictures: MultiLabelImages) -> Scored:
    listed = reference_names(learner, pictures.classnames)
    return Scored(learner.name, image_samples(learner, pictures), listed, pictures.classnames)


def _measure(source: Scored, tested: Scored) -> list[float]:
    calibration = source.calibration()
    bands = calibration.bands(tested.names)
    assert bands is not None
    said = np.array(answers(tested.probabilities(calibration), bands))
    present: npt.NDArray[np.bool_] = tested.targets == 1
    yes, no, uncertain = (said == word for word in ("yes", "no", "uncertain"))
    among = [float((one & present).sum() / present.sum()) for one in (yes, uncertain, no)]
    right = float(present[yes].mean()) if yes.any() else float("nan")
    return [right, *among, float(present[no].mean()), float(uncertain.mean())]


def _print_row(title: str, name: str, numbers: npt.NDArray[np.float64]) -> None:
    means, spread = numbers.mean(axis=0), numbers.std(axis=0, ddof=1)  # nan where a seed has no "yes"
    cells = [
        f"{100 * mean:.1f}" + (f" ± {100 * std:.1f}" if std else "") for mean, std in zip(means, spread, strict=True)
    ]
    print(f"| {title} | {name} | {' | '.join(cells)} |", flush=True)


def _say(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

"""Measures calibrations on pictures that nothing was trained, calibrated or chosen on, for docs/calibration.md.

    python -m tools.calibration_table FOLDER [--data DATA] [--split val]

FOLDER keeps what is made on the way. DATA is a folder with COCO's ``captions_val2017.json`` and, in ``coco_mini``,
photos of COCO train2017 with their instances file; without it those rows are left out. Choices were made with
``--split val``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipprompt.backbone import Backbone
from clipprompt.captions.corpus import build_corpus, load_corpus
from clipprompt.captions.synonyms import load_classes
from clipprompt.config import load_config
from clipprompt.datasets import MultiLabelImages, load_dataset
from clipprompt.datasets.scenes import load_scenes
from clipprompt.evaluation.calibration_error import calibration_error
from clipprompt.evaluation.f1 import f1, top_k
from clipprompt.inference._caption_samples import caption_samples
from clipprompt.inference._f1_cuts import best_cut
from clipprompt.inference._samples import Samples, image_samples
from clipprompt.inference.calibrating import REFERENCE, fit_calibration, reference_names
from clipprompt.inference.calibration import Calibration, places
from clipprompt.learners import Learner, create_learner, load_learner
from clipprompt.mini.captions import caption_split
from clipprompt.resources import resource
from clipprompt.training.run import load_configured_backbone, run_training

N_TRAIN, N_HELD, N_SCENES = 10_000, 4_000, 500
SETTINGS = ("learner.class_specific=false",)  # contexts that take any class list
MANY, FEW = "own + COCO", "own"

Floats = npt.NDArray[np.floating[Any]]
Decisions = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """Samples with a learner's scores.

    Attributes:
        method: the learner.
        samples: scores (N, R) for the reference list, and labels (N, C).
        reference: R names.
        names: C names, the first of ``reference``.
    """

    method: str
    samples: Samples
    reference: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def own(self) -> Floats:
        """The scores (N, C) of the classes."""
        return self.samples.scores[:, : len(self.names)]

    @property
    def targets(self) -> npt.NDArray[np.int8]:
        """The labels (N, C)."""
        return self.samples.targets

    def only(self, classes: slice) -> Scored:
        """The same samples with labels of some classes; all scores are kept."""
        names = self.names[classes]
        order = places([*names, *(name for name in self.reference if name not in names)], self.reference)
        kept = np.ascontiguousarray(self.targets[:, classes])
        samples = Samples(self.samples.scores[:, order], kept, self.samples.source)
        return Scored(self.method, samples, tuple(self.reference[place] for place in order), names)

    def calibration(self, kind: str = MANY) -> Calibration:
        """Fitted on these samples, with the long reference list or with the classes alone."""
        coco = load_classes(REFERENCE).classnames if kind == MANY else []
        listed = [name for name in self.reference if name in self.names or name in coco]
        scores = self.samples.scores[:, places(listed, self.reference)]
        facts: dict[str, Any] = {"source": self.samples.source, "method": self.method, "fingerprint": ""}
        return fit_calibration(scores, self.targets, listed, self.names, **facts)

    def probabilities(self, calibration: Calibration) -> npt.NDArray[np.float64]:
        """Of the classes, by a calibration that was fitted on other samples."""
        yardstick = self.samples.scores[:, places(calibration.reference, self.reference)]
        return calibration.probabilities(self.own, yardstick, self.names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes what is missing in the folder, and prints the tables as Markdown."""
    parser = argparse.ArgumentParser(description="Measures calibrations.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="test", choices=["test", "val"])
    given = parser.parse_args(arguments)
    made = Made(given.folder, given.data)
    for title, learner in made.learners():
        print(f"\n{title}, {N_SCENES} scenes of the split {given.split!r}:\n")
        _print_decisions(made.sources(learner), made.scenes(learner, given.split))
        print(f"\n{title}, reference lists:\n")
        _print_references(made.captions(learner, made.held), made.scenes(learner, given.split))
    if given.data is not None:
        print("\nTaI-DPT trained on COCO captions, photos:\n")
        _print_decisions(*made.photos())
    return 0


class Made:
    """Corpora, prompts and their scores."""

    def __init__(self, folder: Path, data: Path | None) -> None:
        self.folder, self.data = folder, data
        folder.mkdir(parents=True, exist_ok=True)
        texts = [text for text, _ in caption_split("captions", N_TRAIN + N_HELD)]
        self.train = self._corpus("train", texts[:N_TRAIN])
        self.held = self._corpus("held", texts[N_TRAIN:])
        self.all_held = self._corpus("held-all", texts[N_TRAIN:], keep_empty=True)
        self.config = load_config("tai_dpt", SETTINGS, resource("configs/demo.yaml"))
        self.backbone: Backbone = load_configured_backbone(self.config)

    def learners(self) -> list[tuple[str, Learner]]:
        """Those of the tables, with their titles."""
        names = load_corpus(self.train).classnames
        trained = load_learner(self.run("tai_dpt", self.train), self.backbone)
        return [("TaI-DPT", trained), ("zero-shot CLIP", create_learner("zero_shot", self.backbone, names))]

    def sources(self, learner: Learner) -> dict[str, Scored]:
        """What there is to calibrate on."""
        found = {"captions": self.captions(learner, self.held)}
        found["captions, empty ones too"] = self.captions(learner, self.all_held)
        if learner.name == "tai_dpt":
            found["captions seen in training"] = self.captions(learner, self.train)
        if self.data is not None:
            found["COCO captions"] = self.captions(learner, self._coco("voc2007"))
        for number in (100, 500):
            found[f"{number} pictures"] = self._images(learner, load_scenes("extra", number))
        return found

    def captions(self, learner: Learner, corpus: Path) -> Scored:
        """Captions of a corpus."""
        loaded = load_corpus(corpus)
        names = tuple(loaded.classnames)
        listed = reference_names(learner, names)
        found = caption_samples(learner, names, loaded, corpus.name, most=N_HELD)
        return Scored(learner.name, found, listed, names)

    def scenes(self, learner: Learner, split: str) -> Scored:
        """Pictures of a split."""
        return self._images(learner, load_scenes(split, N_SCENES))

    def photos(self) -> tuple[dict[str, Scored], Scored]:
        """Captions and photos of COCO, for a prompt that learnt from the captions."""
        assert self.data is not None
        corpus, place = self._coco("coco2014"), self.data / "coco_mini"
        run = self.run("tai_dpt-coco", corpus, "train.select=val_map")
        learner = load_learner(run, self.backbone)
        names = tuple(load_corpus(corpus).classnames)
        listed = reference_names(learner, names)
        held = caption_samples(learner, names, load_corpus(corpus), corpus.name, run=run, most=N_HELD)
        annotations = place / "annotations" / "instances_train2017.json"
        photos = load_dataset(str(annotations), place / "train2017", classnames=names)
        return {"captions": Scored(learner.name, held, listed, names)}, self._images(learner, photos)

    def _images(self, learner: Learner, pictures: MultiLabelImages) -> Scored:
        listed = reference_names(learner, pictures.classnames)
        return Scored(learner.name, image_samples(learner, pictures), listed, pictures.classnames)

    def run(self, name: str, corpus: Path, *settings: str) -> Path:
        """The folder of a TaI-DPT prompt that learnt from a corpus."""
        config = load_config("tai_dpt", [*SETTINGS, *settings], resource("configs/demo.yaml"))
        data = config.data.model_copy(update={"corpus": str(corpus.absolute())})
        run_training(config.model_copy(update={"data": data}), self.folder / name, say=_say)
        return self.folder / name

    def _corpus(self, name: str, texts: Sequence[str], keep_empty: bool = False) -> Path:
        (self.folder / f"{name}.txt").write_text("".join(f"{text}\n" for text in texts))
        build_corpus([self.folder / f"{name}.txt"], "voc2007", self.folder / f"{name}.parquet", keep_empty)
        return self.folder / f"{name}.parquet"

    def _coco(self, classes: str) -> Path:
        assert self.data is not None
        corpus = self.folder / f"coco-{classes}.parquet"
        if not corpus.exists():
            build_corpus([self.data / "captions_val2017.json"], classes, corpus)
        return corpus


def _print_decisions(sources: dict[str, Scored], test: Scored) -> None:
    print("| labels given | calibrated on | OF1 | CF1 | calibration error | labels per picture | none |")
    print("|---|---|---:|---:|---:|---:|---:|")
    _row("the best three", "–", top_k(test.own, test.targets, 3), test)
    captions = sources["captions"]
    cut = best_cut(captions.own.ravel().astype(np.float64), captions.targets.ravel() == 1)
    _row("score ≥ the captions' best cut", "captions", test.own >= cut, test)
    for name, source in sources.items():
        known = source.calibration()
        found = test.probabilities(known)
        if name == "captions":
            _row("probability ≥ 0.5", name, found >= 0.5, test, found)
            _row("probability ≥ one threshold", name, found >= known.threshold, test, found)
        _row("**probability ≥ the class's**", name, found >= known.thresholds(test.names), test, found)
    columns = range(len(test.names))
    z = test.probabilities(captions.calibration())
    own = [best_cut(z[:, c], test.targets[:, c] == 1) if (test.targets[:, c] == 1).any() else 2.0 for c in columns]
    _row("*upper bound: the class's, chosen on the test set*", "the test set", z >= np.array(own), test)


def _print_references(captions: Scored, test: Scored) -> None:
    print("| classes | reference list | OF1 | none, if none is there | none, if one is | OF1 of other classes |")
    print("|---:|---|---:|---:|---:|---:|")
    for size in (5, 10, len(test.names)):
        asked, rest = test.only(slice(size)), test.only(slice(size, None))
        for kind in (FEW, MANY):
            known = captions.only(slice(size)).calibration(kind)
            given = asked.probabilities(known) >= known.thresholds(asked.names)
            shown, none = np.any(asked.targets == 1, axis=1), ~np.any(given, axis=1)
            shares = [f"{none[rows].mean():.2f}" for rows in (~shown, shown)]
            others = "–"
            if rest.names:
                others = f"{f1(rest.probabilities(known) >= known.threshold, rest.targets)['OF1']:.3f}"
            print(f"| {size} | {kind} | {f1(given, asked.targets)['OF1']:.3f} | {' | '.join(shares)} | {others} |")


def _row(what: str, source: str, given: Decisions, test: Scored, found: Floats | None = None) -> None:
    scores = f1(given, test.targets)
    error = "–" if found is None else f"{calibration_error(found, test.targets):.3f}"
    rest = f"{given.sum(axis=1).mean():.2f} | {(~given.any(axis=1)).mean():.2f}"
    print(f"| {what} | {source} | {scores['OF1']:.3f} | {scores['CF1']:.3f} | {error} | {rest} |", flush=True)


_say: Callable[[str], None] = lambda message: print(message, file=sys.stderr)  # noqa: E731


if __name__ == "__main__":
    sys.exit(main())

"""Captions to calibrate on, where there is no image at all: those that training did not see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from clipprompt.captions.corpus import Corpus
from clipprompt.config import RunConfig, read_config
from clipprompt.datasets._checks import plain_name
from clipprompt.errors import UserError, nearest
from clipprompt.inference._samples import Samples, draw
from clipprompt.learners import Learner
from clipprompt.progress import track
from clipprompt.training.data import split_validation
from clipprompt.training.sentences import DRAWN, corpus_of, load_sentences

MIN_UNSEEN = 200
"""Fewer captions that training did not see than this are too few; then all are taken, which measured little worse."""

_BATCH = 256


@torch.no_grad()
def caption_samples(
    learner: Learner,
    classnames: Sequence[str],
    corpus: Corpus,
    name: str,
    *,
    run: Path | None = None,
    most: int = 10_000,
) -> Samples:
    """Scores captions of a labelled corpus, those included that name none of the classes.

    Args:
        learner: has the R reference names as its classes.
        classnames: C classes of the corpus.
        corpus: captions.
        name: what messages call the corpus.
        run: the run folder of the prompt; captions that its training saw are left out, as long as enough others remain.
        most: of more captions than this, so many are drawn, with seed 0.

    Raises:
        UserError: if the corpus lacks a class, or the learner answers for pictures alone.
    """
    if not learner.has_text_features:
        raise UserError(f"{learner.name} answers for pictures, not for the captions of {name}: give --dataset DATA")
    columns = _columns(corpus, classnames, name)
    seen = _seen_captions(run)
    rows = np.array([row for row, caption in enumerate(corpus.captions) if caption not in seen], dtype=np.int64)
    notes: tuple[str, ...] = ()
    if len(rows) < min(MIN_UNSEEN, len(corpus)):
        notes = (f"training saw {f'all but {len(rows)}' if len(rows) else 'all'} of these captions; others are better",)
        rows = np.arange(len(corpus))
    rows = draw(rows, most)
    texts = [str(corpus.captions[row]) for row in rows.tolist()]
    source = f"{len(rows):,} of {len(corpus):,} captions of {name}"
    return Samples(_score_texts(learner, texts), corpus.multi_hot(rows)[:, columns].astype(np.int8), source, notes)


def held_out_corpus(run: Path) -> tuple[Corpus, str]:
    """The corpus of a run that held some of its captions out of training, and what messages call it.

    Raises:
        UserError: if the folder is not such a run.
    """
    config = _config(run)
    if config is None or config.data.corpus is None or config.train.select == "last":
        raise UserError(
            f"{run} held no captions out of training; "
            "give --captions corpus.parquet or --dataset DATA, or train with train.select=val_map"
        )
    return corpus_of(config.data), Path(config.data.corpus).name


def _columns(corpus: Corpus, classnames: Sequence[str], name: str) -> list[int]:
    place = {plain_name(name): index for index, name in enumerate(corpus.classnames)}
    for wanted in classnames:
        if plain_name(wanted) not in place:
            raise UserError(
                f"{name} has no labels for class {wanted!r}{nearest(plain_name(wanted), place)}; "
                "build it for these classes with `clipprompt corpus build --classes`, or choose others with --labels"
            )
    return [place[plain_name(wanted)] for wanted in classnames]


def _seen_captions(run: Path | None) -> set[str]:
    """The texts that a run was trained on, as far as its corpus is still there."""
    config = _config(run)
    corpus = None if config is None else config.data.corpus
    if config is None or corpus is None or not (corpus == DRAWN or Path(corpus).is_file()):
        return set()
    sentences = load_sentences(config.data)
    trained: Sequence[int] | npt.NDArray[np.int64] = range(len(sentences.groups))
    if config.train.select != "last":
        trained, _ = split_validation(sentences.groups, config.train.val_fraction, config.train.seed)
    return {sentences.texts[index] for index in trained}


def _config(run: Path | None) -> RunConfig | None:
    path = None if run is None else run / "config.yaml"
    return read_config(path) if path is not None and path.is_file() else None


def _score_texts(learner: Learner, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    parts = []
    for start in track(range(0, len(texts), _BATCH), "scoring", unit="batches"):
        tokens = learner.backbone.tokenize(texts[start : start + _BATCH], truncate=True)
        parts.append(learner.logits_from(learner.encode_captions(tokens)).float().cpu().numpy())
    return np.concatenate(parts)

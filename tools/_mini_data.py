"""Pictures and caption tokens of the mini world, drawn once into a folder and read back memory-mapped."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipprompt.files import replace_file
from clipprompt.mini.captions import sample_caption
from clipprompt.mini.render import render_seeds
from clipprompt.mini.scenes import sample_scene, split_seeds

# Ids of the standard tokenizer.
START, END, FIRST_WORD = 49406, 49407, 256


def training_data(folder: Path, config: dict[str, Any], workers: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Pictures (N, size, size, 3) and tokens (N, captions, limit) of the training split; drawn if not there yet."""
    tokens = folder / "tokens.npy"
    pictures = training_pictures(folder, config, workers)
    if not tokens.exists():
        save_array(tokens, _tokens(split_seeds("train", config["train_scenes"]), config, workers))
    return pictures, np.load(tokens, mmap_mode="r")


def training_pictures(folder: Path, config: dict[str, Any], workers: int) -> NDArray[np.uint8]:
    """Pictures (N, size, size, 3) of the training split, memory-mapped; drawn if not there yet."""
    path = folder / "pictures.npy"
    if not path.exists():
        save_array(
            path, render_seeds(split_seeds("train", config["train_scenes"]), config["scene_size"], workers=workers)
        )
    pictures: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return pictures


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array beside its place and moves it there, so that a run that is cut off leaves no half of it."""
    with replace_file(path) as part, part.open("wb") as file:
        np.save(file, array)


def _tokens(seeds: range, config: dict[str, Any], workers: int) -> NDArray[np.uint16]:
    blocks = [seeds[start : start + 1000] for start in range(0, len(seeds), 1000)]
    work = partial(_token_block, captions=config["captions_per_scene"], limit=config["token_limit"])
    if workers == 0:
        return np.concatenate([work(block) for block in blocks])
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts: list[NDArray[np.uint16]] = list(pool.map(work, blocks))
    return np.concatenate(parts)


def _token_block(seeds: range, captions: int, limit: int) -> NDArray[np.uint16]:
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer(context_length=limit)
    scenes = [sample_scene(seed) for seed in seeds]
    texts = [sample_caption(scene, k) for scene in scenes for k in range(captions)]
    tokens: NDArray[np.uint16] = tokenizer(texts).numpy().astype(np.uint16).reshape(len(scenes), captions, limit)
    return tokens


def with_random_tokens(tokens: NDArray[np.int64], rate: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Some captions get up to three random byte-pair tokens, so that no token is wholly unknown to the tower.

    Args:
        tokens: token ids (B, L), zero-padded.
        rate: part of the captions that get any.
        rng: source of the draws.
    """
    out: NDArray[np.int64] = tokens.copy()
    for row in np.flatnonzero(rng.random(len(tokens)) < rate):
        words = out[row][out[row] > 0][1:-1]
        extra = rng.integers(FIRST_WORD, START, rng.integers(1, 4))
        room = tokens.shape[1] - 2 - len(extra)
        words = np.insert(words[:room], rng.integers(0, min(len(words), room) + 1, len(extra)), extra)
        out[row] = 0
        out[row, : len(words) + 2] = [START, *words, END]
    return out


def trimmed(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Without the columns that are padding in every row."""
    longest = int((tokens > 0).sum(1).max())
    short: NDArray[np.int64] = tokens[:, :longest]
    return short

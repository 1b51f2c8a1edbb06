"""Prompt folders as they come and go: what may travel, whether it is a prompt, and that nothing is written over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from clipprompt.errors import UserError
from clipprompt.inference.calibration import read_calibration
from clipprompt.learners import check_classnames, read_description
from clipprompt.learners import check_options as check_learner_options
from clipprompt.learners._saving import DESCRIPTION, WEIGHTS

CALIBRATION, CONFIG, CARD = "calibration.json", "config.yaml", "README.md"
TRAVELS = (WEIGHTS, DESCRIPTION, CALIBRATION, CONFIG, CARD)
"""The only files that are sent or fetched: numbers and text, no pickle, no code, no captions."""


def check_prompt_folder(folder: Path) -> dict[str, Any]:
    """Checks all that can be checked without the backbone, and returns the description.

    Raises:
        UserError: naming the file that is missing or broken, or what this version does not know.
    """
    description = read_description(folder)
    check_learner_options(description["method"], description["options"])
    check_classnames(description["classnames"])
    try:
        with safe_open(folder / WEIGHTS, framework="numpy") as file:
            file.keys()
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder} is not a whole prompt: {WEIGHTS} cannot be read ({error})") from error
    read_calibration(folder)
    return description


def check_new_folder(folder: Path) -> None:
    """Refuses a folder that has something in it.

    Raises:
        UserError: naming it.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"{folder} is there already; choose another with -o")


def check_replaceable(folder: Path) -> None:
    """Refuses to put a prompt in the place of anything but a plain prompt folder.

    Raises:
        UserError: naming what is in the way; the run folder of a training is never replaced.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / DESCRIPTION).is_file():
        raise UserError(f"{folder} is there already and no prompt folder; choose another with -o")
    others = sorted(entry.name for entry in folder.iterdir() if entry.name not in TRAVELS)
    if others:
        raise UserError(f"{folder} holds more than a prompt ({', '.join(others[:3])}); choose another with -o")


def move_into_place(part: Path, folder: Path) -> None:
    """Gives a finished folder its name; a prompt folder that had it goes away only then.

    Raises:
        UserError: if it cannot be renamed; both folders are then as they were.
    """
    old = part.with_name(part.name + ".old")
    try:
        if folder.exists():
            folder.replace(old)
        try:
            part.replace(folder)
        except OSError:
            if old.exists():
                old.replace(folder)
            raise
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    shutil.rmtree(old, ignore_errors=True)

"""What a prompt folder sends: five files at most, without a path of the machine it was made on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from clipprompt._yaml import read_mapping
from clipprompt.errors import UserError
from clipprompt.learners._saving import DESCRIPTION, WEIGHTS
from clipprompt.sharing._card import write_card
from clipprompt.sharing._folder import CALIBRATION, CARD, CONFIG, check_prompt_folder
from clipprompt.sharing._public import public_name, without_paths


def outgoing_files(folder: Path, repo: str) -> dict[str, bytes]:
    """The files as they are sent.

    ``prompt.json``, ``calibration.json`` and ``config.yaml`` keep the last part of each local path alone: a file of
    captions becomes its name. The numbers are sent as they are.

    Args:
        folder: a prompt folder, or a complete run.
        repo: ``org/name``, for the card.

    Returns:
        Contents by name.

    Raises:
        UserError: if it is no prompt folder, or a text still names the home folder.
    """
    description = check_prompt_folder(folder)
    backbone = {**description["backbone"]}
    backbone.update({key: public_name(str(backbone[key])) for key in ("name", "pretrained") if backbone.get(key)})
    files = {
        WEIGHTS: (folder / WEIGHTS).read_bytes(),
        DESCRIPTION: _json({**description, "backbone": backbone}),
    }
    if (folder / CALIBRATION).is_file():
        found = json.loads((folder / CALIBRATION).read_bytes())
        files[CALIBRATION] = _json({**found, "source": _public_words(found["source"])})
    if (folder / CONFIG).is_file():
        cleaned = without_paths(read_mapping(folder / CONFIG))
        files[CONFIG] = yaml.safe_dump(cleaned, sort_keys=False, allow_unicode=True).encode()
    own_card = folder / CARD
    files[CARD] = own_card.read_bytes() if own_card.is_file() else write_card(repo, description).encode()
    _check_no_home(files, folder)
    return files


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _public_words(text: str) -> str:
    return " ".join(public_name(word) for word in text.split(" "))


def _check_no_home(files: dict[str, bytes], folder: Path) -> None:
    home = str(Path.home()).rstrip("/\\")
    for name, content in files.items():
        if len(home) > 1 and name != WEIGHTS and home.encode() in content:
            raise UserError(f"{folder / name} names your home folder {home}; take that out before you share it")

"""What a sweep was asked for, as ``sweep.yaml`` in its folder: so that the folder explains itself, and is one sweep's.

Methods with their own settings, sets, seeds, shots, known labels, shares, class splits and, where there was none, a
corpus of captions may be added by later commands; what makes numbers compare may not change.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from clipprompt._yaml import read_mapping
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols.planning import settings_of
from clipprompt.files import write_text
from clipprompt.locks import locked

REQUEST = "sweep.yaml"
_GROWS = ("methods", "datasets", "seeds", "shots", "class_splits", "known", "shares", "settings")
_MAY_BE_UNKNOWN = ("captions", "backbone")
_FREE = ("root",)


@dataclass(frozen=True)
class Request:
    """A protocol and what it is made of.

    Attributes:
        protocol: its name.
        methods: names of learners, in the spelling of their protocol; none for the protocol's.
        datasets: names of sets, or paths of own ones.
        seeds: one run each; none for the protocol's.
        shots: pictures of each class, one run each; none for the protocol's.
        class_splits: halvings of the classes, one run each.
        known: labels that are known: shares, ``single-positive`` or None for all, one run each; none for the
            protocol's.
        settings: ``key=value`` over those of the protocol.
        source: set that is learnt from, where the protocol has one.
        captions: corpus that is learnt from, where a method learns from captions.
        part: that is tested on: test, or val to choose settings by.
        root: folder of named sets.
        backbone: that all runs share, in words; empty where that is not known yet.
        shares: parts of the training pictures, one run each, where the protocol has variants.
        grid: what is searched, over the protocol's: ``KEY=V1,V2``, or ``METHOD:KEY=V1,V2``.
        searches: whether settings are chosen by a grid, where the protocol has one.
    """

    protocol: str
    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    seeds: tuple[int, ...] = ()
    shots: tuple[int | None, ...] = ()
    class_splits: tuple[int, ...] = (0,)
    known: tuple[float | str | None, ...] = ()
    settings: tuple[str, ...] = ()
    source: str | None = None
    captions: str | None = None
    part: str = "test"
    root: str | None = None
    backbone: str = ""
    shares: tuple[float, ...] = ()
    grid: tuple[str, ...] = ()
    searches: bool = True


def check_folder(folder: Path, request: Request) -> Request:
    """The request together with those of the folder.

    Raises:
        UserError: if the folder cannot be one of a sweep, or holds another sweep.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"-o {folder} is a file; name a folder")
    path = folder / REQUEST
    if path.is_file():
        return _joined(_read(path), request, folder)
    try:
        if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise UserError(
                f"{folder} is not empty and not the folder of a sweep (no {REQUEST}); choose another with -o"
            )
    except OSError as error:
        raise UserError(f"cannot use {folder} as a sweep's folder: {error.strerror or error}") from error
    return request


def claim_folder(folder: Path, request: Request) -> None:
    """Writes ``sweep.yaml``, beside what was asked for before. Several parts of a sweep may do so at once.

    Raises:
        UserError: as :func:`check_folder`, or if it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot use {folder} as a sweep's folder: {error.strerror or error}") from error
    with locked(folder, ".sweep.lock", wait=True):
        tree = asdict(check_folder(folder, request))
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in tree.items()}
        write_text(folder / REQUEST, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def _joined(there: Request, here: Request, folder: Path) -> Request:
    changed: dict[str, Any] = {"captions": here.captions or there.captions}
    for name in (field.name for field in fields(Request) if field.name not in _FREE):
        old, new = getattr(there, name), getattr(here, name)
        if name == "settings":
            _compare_settings(there, here, folder)
        if name in _GROWS:
            changed[name] = (*old, *(one for one in new if one not in old))
        elif name not in _MAY_BE_UNKNOWN or (old and new):
            _compare(name, old, new, folder)
    return replace(here, **changed)


def _compare_settings(there: Request, here: Request, folder: Path) -> None:
    shared = [method for method in there.methods if method in here.methods]
    for method in ("", *shared):  # first what is for all
        _compare("settings", _settings(there, method), _settings(here, method), folder)


def _settings(request: Request, method: str) -> tuple[str, ...]:
    """What is set for a method, each key once, with the value that counts."""
    pairs = (setting.partition("=") for setting in settings_of(method, request.settings))
    values = {key.strip(): value for key, _, value in pairs}
    return tuple(f"{key}={values[key]}" for key in sorted(values))


def _compare(name: str, old: Any, new: Any, folder: Path) -> None:
    if old != new:
        shown = f"{name} is {_say(old)} there and {_say(new)} here"
        raise UserError(f"{folder} holds another sweep: {shown}; choose another folder with -o, or ask for the same")


def _say(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else repr(value)


def _read(path: Path) -> Request:
    tree = read_mapping(path)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in tree.items()}
    try:
        return Request(**values)
    except TypeError as error:
        raise UserError(f"{path} was not written by a sweep: {error}") from error

"""Settings of a request: ``key=value`` for all methods, ``METHOD:key=value`` for one, as ``coop:train.lr=0.002``."""

from __future__ import annotations

from collections.abc import Sequence

from clipprompt.config import RunConfig
from clipprompt.errors import UserError, nearest
from clipprompt.evaluation.protocols.jobs import Job
from clipprompt.evaluation.protocols.methods import Method

_BY_OPTION = {
    "train.seed": "--seeds",
    "data.dataset": "--datasets",
    "data.corpus": "--captions",
    "data.root": "--root",
    "data.shots": "--shots",
    "data.share": "--shares",
    "data.with_val": "",
    "data.known": "--known",
    "data.class_split": "--class-splits",
    "data.subset": "",
    "data.parts": "",
}
"""What a job sets itself, so that a setting would be passed over, and the option that decides it, where one does."""


def settings_of(method: str, settings: Sequence[str]) -> list[str]:
    """Those that are for a method: the ones for all, and its own without its name.

    Args:
        method: in the spelling of :class:`clipprompt.evaluation.protocols.methods.Method`.
        settings: of the request.
    """
    own = [setting for setting in settings if _addressee(setting) in (None, method)]
    return [setting if _addressee(setting) is None else _without_addressee(setting) for setting in own]


def check_addressees(settings: Sequence[str], methods: Sequence[str]) -> None:
    """Finds a setting for a method that is not run, or of what the protocol itself decides.

    Args:
        settings: of the request.
        methods: that are run, ensembles left out: their members have the settings.

    Raises:
        UserError: with the nearest method, or the option to give in its place.
    """
    for setting in settings:
        named = _without_addressee(setting).partition("=")[0].strip()
        for key in (key for key in _BY_OPTION if named in (key, key.rpartition(".")[2])):
            instead = f"give {_BY_OPTION[key]} in its place" if _BY_OPTION[key] else "leave it out"
            raise UserError(f"setting {setting!r}: {key} is decided by the protocol; {instead}")
        method = _addressee(setting)
        if method is not None and "+" in method:
            raise UserError(f"setting {setting!r} is for an ensemble, which has none; give it to one of its members")
        if method is not None and method not in methods:
            raise UserError(f"setting {setting!r} is for method {method!r}{nearest(method, methods)}, which is not run")


def check_names(method: Method, given: Sequence[str]) -> None:
    """Finds an option that would make a variant another one than its name says; a null in it says nothing.

    Raises:
        UserError: naming both.
    """
    own = (setting.partition("=") for setting in method.settings)
    fixed = {key: value for key, _, value in own if key.startswith("learner.") and value != "null"}
    for setting in given:
        named = setting.partition("=")[0].strip()
        for key in (key for key in fixed if named in (key, key.rpartition(".")[2])):
            raise UserError(f"setting {setting!r}: by its name {method.spelling} has {key}={fixed[key]}; leave it out")


def checked_config(job: Job, given: Sequence[str]) -> RunConfig:
    """The configuration of a job.

    Args:
        job: of a learner.
        given: settings of the request.

    Raises:
        UserError: for a setting that its method does not take, naming both.
    """
    try:
        return job.config()
    except UserError as error:
        alone = f"; METHOD:KEY=VALUE, as in {job.spelling}:train.lr=0.002, is for one method" if given else ""
        raise UserError(f"{job.spelling}: {error}{alone}") from error


def _addressee(setting: str) -> str | None:
    """The method that a setting is for; None for all."""
    method, colon, _ = setting.partition("=")[0].rpartition(":")
    return method.strip() if colon else None


def _without_addressee(setting: str) -> str:
    key, equals, value = setting.partition("=")
    return f"{key.rpartition(':')[2]}{equals}{value}"

"""Prompts on the Hugging Face Hub: the folder's five files, and nothing else, there and back.

    push   folder --> checked, cleaned of local paths --> one commit
    pull   repository --> a folder beside --> checked --> its name

``huggingface_hub`` does the work: tokens, endpoint (``HF_ENDPOINT``), proxies are its own.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token, snapshot_download
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

from clipprompt import __version__
from clipprompt.errors import UserError
from clipprompt.hub_errors import one_line
from clipprompt.sharing._folder import (
    CALIBRATION,
    CARD,
    CONFIG,
    TRAVELS,
    check_prompt_folder,
    check_replaceable,
    move_into_place,
)
from clipprompt.sharing._outgoing import outgoing_files

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")


class _Silent(tqdm):
    """No bars: a prompt is small, and the library draws three."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]


def push(
    folder: str | os.PathLike[str],
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Uploads a prompt folder in one commit, making the repository or branch where there is none.

    Args:
        folder: a prompt folder or a complete run.
        repo: ``org/name``.
        private: whether a new repository is private; one that is there stays as it is.
        revision: a branch; the main one by default.
        message: of the commit.
        endpoint: address of the Hub; None for the library's.

    Returns:
        The address of the repository.

    Raises:
        UserError: in one line: no prompt folder, no token, no right, no such repository, no network.
    """
    check_repo(repo)
    files = outgoing_files(Path(folder), repo)
    if get_token() is None:
        raise UserError("no token for the Hub: log in with `hf auth login`, or set HF_TOKEN")
    api = HfApi(endpoint=endpoint, library_name="clipprompt", library_version=__version__)
    with one_line(repo, revision, api.endpoint):
        url = api.create_repo(repo, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        there = api.list_repo_files(repo, revision=revision)
        if CARD in there and not (Path(folder) / CARD).is_file():
            del files[CARD]  # someone may have written it
        operations: list[Any] = [CommitOperationAdd(name, content) for name, content in files.items()]
        stale = [name for name in (CALIBRATION, CONFIG) if name in there and name not in files]
        operations += [CommitOperationDelete(name) for name in stale]
        api.create_commit(repo, operations, commit_message=message or "Upload a prompt", revision=revision)
    return str(url)


def pull(
    repo: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Downloads a prompt; a folder of its name appears only when it is one.

    Args:
        repo: ``org/name``.
        folder: where to; None for ``name`` in the current folder. A plain prompt folder there is replaced.
        revision: branch, tag or commit; the main branch by default.
        endpoint: address of the Hub; None for the library's.

    Returns:
        The folder.

    Raises:
        UserError: in one line: no such repository or revision, no network, no prompt in it, something in the way.
    """
    check_repo(repo)
    target = Path(folder) if folder is not None else Path(repo.rpartition("/")[2])
    check_replaceable(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    try:
        with one_line(repo, revision, endpoint or HfApi().endpoint):
            snapshot_download(
                repo,
                revision=revision,
                local_dir=part,
                allow_patterns=list(TRAVELS),
                endpoint=endpoint,
                library_name="clipprompt",
                library_version=__version__,
                tqdm_class=_Silent,
            )
        shutil.rmtree(part / ".cache", ignore_errors=True)
        _check_pulled(part, repo)
        part.chmod(0o755)
        move_into_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def check_repo(repo: str) -> None:
    """Refuses what is no ``org/name``.

    Raises:
        UserError: naming it.
    """
    if not _REPO.fullmatch(repo):
        raise UserError(f"{repo!r} is no repository of the Hub; give it as ORG/NAME")


def _check_pulled(part: Path, repo: str) -> None:
    try:
        check_prompt_folder(part)
    except UserError as error:
        raise UserError(f"{repo}: {str(error).replace(str(part), 'the repository')}") from error

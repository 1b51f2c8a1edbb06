"""Archives in the Hugging Face Hub's repositories of the named sets: which one is a set's, and how it gets here.

``huggingface_hub`` tells what is there, its checksums, the address and the user's token. The bytes are fetched by our
own ``fetch``: the library throws away what a killed download has got, and an archive may be 39 GB large.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from huggingface_hub import DatasetInfo, HfApi, ModelInfo, get_token, hf_hub_url
from huggingface_hub.errors import RepositoryNotFoundError

from clipprompt.datasets._fetch import Advance, fetch
from clipprompt.datasets._remote_zip import read_member
from clipprompt.datasets.classification.specifications import Specification
from clipprompt.errors import UserError
from clipprompt.hub_errors import one_line

_KINDS = ("dataset", "model")  # it holds data, but was made as a model
_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")


class HubArchive(NamedTuple):
    """A file of the repository.

    Attributes:
        name: of the file.
        url: of exactly this version of it.
        sha256: of its bytes, as the repository has it.
        size: in bytes.
    """

    name: str
    url: str
    sha256: str
    size: int


def find_archive(specification: Specification) -> HubArchive:
    """Looks a set's archive up in its repository's own list of files.

    Args:
        specification: of the set.

    Raises:
        UserError: in one line: no such repository, none of its files is of this set, no access, no network.
    """
    api, repo = HfApi(library_name="clipprompt"), specification.repository
    with one_line(repo, None, api.endpoint):
        info, kind = _repository(api, repo)
        if info.gated:
            api.auth_check(repo, repo_type=kind)
    archives = [file for file in info.siblings or () if file.rfilename.lower().endswith(_ENDINGS)]
    names = [file.rfilename for file in archives]
    name = _match(specification, names)
    if name is None:
        raise UserError(f"{repo} has no archive of {specification.name}; it has {', '.join(names) or 'none at all'}")
    lfs = archives[names.index(name)].lfs
    if lfs is None:
        raise UserError(f"{repo} has no SHA-256 of {name}, so it cannot be checked; fetch and unpack it by hand")
    url = hf_hub_url(repo, name, repo_type=kind, revision=info.sha, endpoint=api.endpoint)
    return HubArchive(PurePosixPath(name).name, url, lfs.sha256, lfs.size)


def fetch_archive(archive: HubArchive, folder: Path, advance: Advance) -> Path:
    """Fetches an archive into ``folder``, going on with what an earlier run left there.

    Raises:
        UserError: if it cannot be fetched, or its bytes are others than the repository says.
    """
    target = folder / archive.name
    otherwise = "ask for access on the repository's page and log in with `hf auth login`, or set HF_ENDPOINT"
    fetch(archive.url, target, archive.sha256, advance, headers=_headers(), otherwise=otherwise)
    return target


def read_from_archive(archive: HubArchive, name: str) -> bytes | None:
    """A file of an archive that is not fetched; None where that cannot be had."""
    return read_member(archive.url, archive.size, name, _headers())


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}


def _repository(api: HfApi, repo: str) -> tuple[DatasetInfo | ModelInfo, str]:
    try:
        return api.dataset_info(repo, files_metadata=True), _KINDS[0]
    except RepositoryNotFoundError:
        return api.model_info(repo, files_metadata=True), _KINDS[1]


def _match(specification: Specification, names: Sequence[str]) -> str | None:
    """The file whose name, but for case and punctuation, is the set's, its folder's, or the one it once had."""
    wanted = {_plain(name) for name in (specification.archive, specification.folder, specification.name)}
    return next((name for name in names if _plain(PurePosixPath(name).name) in wanted), None)


def _plain(name: str) -> str:
    name = name.lower()
    for ending in sorted(_ENDINGS, key=len, reverse=True):
        name = name.removesuffix(ending)
    return re.sub(r"[^a-z0-9]", "", name)

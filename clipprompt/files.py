"""Files appear whole or not at all: they are written beside their place and renamed."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipprompt.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def is_disk_error(error: OSError) -> bool:
    """Whether an error is the disk's and not the program's: it is full or broken."""
    return error.errno in _DISK_ERRORS


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it is flushed to disk and takes the place of ``path``.

    On an exception (a kill included, short of SIGKILL) the temporary file is removed and ``path`` stays as it was.

    Raises:
        UserError: if the folder cannot be made or written to, or the disk is full.
    """
    target = Path(path)
    part = target.with_name(f".{target.name[:100]}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
        mode = part.stat().st_mode
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    try:
        yield part
        _put_in_place(part, target, mode)
    except OSError as error:
        if not is_disk_error(error):
            raise
        raise UserError(f"cannot write {target}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes ``text`` as UTF-8, atomically."""
    with replace_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes ``value`` as indented JSON with a final newline, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def parse_json_line(path: str | os.PathLike[str], number: int, line: str) -> Any:
    """The value of one line of a file of JSON lines.

    Raises:
        UserError: naming file and line, if it is no JSON.
    """
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}: broken JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands
        raise UserError(f"{path}, line {number}: {error}") from error


def write_tensors(
    path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Writes tensors as a safetensors file, atomically.

    Raises:
        UserError: if it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replace_file(path) as part:
        try:
            save_file(tensors, part, metadata)
        except SafetensorError as error:
            raise UserError(f"cannot write {path}: {error}") from error


def _put_in_place(part: Path, target: Path, mode: int) -> None:
    if part.stat().st_mode != mode:  # safetensors makes files that nobody else may read
        part.chmod(mode)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    try:
        part.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error

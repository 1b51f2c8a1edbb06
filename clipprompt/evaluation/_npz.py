"""Arrays of an npz file from a stranger: never unpickled, and measured before they are unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipprompt.errors import UserError

MAX_HEADER = 256 << 20
_MAX_BYTES = 16 << 30  # unpacked; a file of a few kilobytes can claim any size

Arrays = dict[str, npt.NDArray[Any]]


def read_arrays(path: Path, wanted: tuple[str, ...], header: str) -> Arrays:
    """Reads those of the wanted arrays that are there.

    Args:
        path: of the file.
        wanted: names of arrays; others in the file are not unpacked.
        header: the one of them that holds text, and may only have that size.

    Raises:
        UserError: for a file that is missing, no npz, cut short, too large, or that holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive, wanted, header)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in wanted if name in file.files}
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    # A broken archive makes zipfile, zlib and numpy raise whatever they come upon.
    except Exception as error:
        raise UserError(_reason(path, error)) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy hands on the bytes of an entry that is none
            raise UserError(f"{path}: {name!r} is not an array")
    return arrays


def _check_sizes(path: Path, archive: zipfile.ZipFile, wanted: tuple[str, ...], header: str) -> None:
    sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
    if sizes.get(header, 0) > MAX_HEADER:
        raise UserError(f"{path}: its header has {sizes[header]:,} bytes; {MAX_HEADER:,} are allowed")
    total = sum(size for name, size in sizes.items() if name in wanted)
    if total > _MAX_BYTES:
        raise UserError(f"{path}: unpacked, it would have {total:,} bytes; {_MAX_BYTES:,} are allowed")


def _reason(path: Path, error: Exception) -> str:
    if "allow_pickle" in str(error):
        return f"{path} holds Python objects, which are never loaded; save plain arrays of numbers"
    if isinstance(error, zipfile.BadZipFile) and "not a zip" in str(error):
        return f"{path} is not an npz file, or was cut short; scores are saved with --save-predictions or np.savez"
    if isinstance(error, MemoryError):
        return f"{path}: its arrays do not fit into memory"
    return f"{path} is broken: {error or type(error).__name__}"

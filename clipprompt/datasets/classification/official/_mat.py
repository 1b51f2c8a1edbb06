"""Files of MATLAB: numbers, words and tables of them are read, anything else is refused; nothing in them is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clipprompt.errors import UserError


def read_mat(path: Path, name: str, fields: tuple[str, ...] = ()) -> Any:
    """One variable of a ``.mat`` file of version 4 to 7, as a flat NumPy array.

    Args:
        path: of the file.
        name: of the variable.
        fields: that a table must have.

    Raises:
        UserError: if the file cannot be read, is of another kind, or has no such variable or field.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise UserError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'no such file'}")
    try:
        content = loadmat(path, appendmat=False, squeeze_me=True, variable_names=[name])
    except Exception as error:  # whatever its parser trips over in a file that is not its own
        raise UserError(f"{path} is not a whole .mat file ({error}); fetch it again") from error
    if name not in content:
        raise UserError(f"{path} has no {name!r}; is it the official file?")
    values = np.atleast_1d(content[name]).ravel()
    if lacking := [field for field in fields if field not in (values.dtype.names or ())]:
        raise UserError(f"{path}: {name!r} has no field {lacking[0]!r}; is it the official file?")
    return values


def label_from(where: str, value: object, n_classes: int) -> int:
    """A label from 0 of MATLAB's, which count from 1.

    Raises:
        UserError: if it is none.
    """
    if not isinstance(value, int | float | np.number) or value not in range(1, n_classes + 1):  # doubles, too
        raise UserError(f"{where}: {str(value)[:40]!r} is not a class from 1 to {n_classes}")
    return int(value) - 1

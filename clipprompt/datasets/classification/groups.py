"""Groups of named sets: the fine-grained five, VTAB's nineteen tasks, and VTAB's three kinds of task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from clipprompt.errors import UserError


def _members() -> dict[str, tuple[str, ...]]:
    of_group: dict[str, list[str]] = {}
    for one in SPECIFICATIONS.values():
        if one.group:
            of_group.setdefault(one.group if one.group == "fgvc" else f"vtab-{one.group}", []).append(one.name)
    tasks = [name for group, names in of_group.items() if group != "fgvc" for name in names]
    return {"fgvc": tuple(of_group.pop("fgvc")), "vtab": tuple(tasks)} | {
        group: tuple(names) for group, names in of_group.items()
    }


GROUPS: Mapping[str, tuple[str, ...]] = _members()
"""Names of sets by that of their group (fgvc, vtab, vtab-natural, vtab-specialized, vtab-structured), as in papers."""


def group_of(name: str) -> str | None:
    """The group that papers average a set in: fgvc, natural, specialized or structured; None for any other set."""
    found = SPECIFICATIONS.get(name.lower())
    return (found.group or None) if found is not None else None


def check_no_group(name: str) -> None:
    """Checks that one set is meant.

    Raises:
        UserError: if ``name`` is a group.
    """
    if (members := GROUPS.get(name.lower())) is not None:
        raise UserError(f"{name} is a group of {len(members)} sets, and here one is meant; give {', '.join(members)}")


def expand_groups(names: Iterable[str]) -> tuple[str, ...]:
    """Names of sets, with groups replaced by their sets; each once, in the order in which they come first.

    Args:
        names: of sets and groups, and whatever else stands for a set; what is no group stays as it is.
    """
    return tuple(dict.fromkeys(name for one in names for name in GROUPS.get(one.lower(), (one,))))

"""What is asked of protocols whose methods are variants: on which backbone they run, and whether a grid is of use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from clipprompt.backbone import has_text_tower
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols._plan import Plan
from clipprompt.evaluation.protocols._yaml import list_protocols, load_protocol
from clipprompt.evaluation.protocols.methods import Method
from clipprompt.evaluation.protocols.variants import READS_TEXTS


@cache
def tuned_learners() -> frozenset[str]:
    """Learners that a protocol has under names of its own; ``all`` of other protocols leaves them out."""
    protocols = [load_protocol(name) for name in list_protocols()]
    return frozenset(variant.learner for protocol in protocols for variant in protocol.variants.values())


def without_texts(plan: Plan, methods: Sequence[Method], by_name: set[str], say: Callable[[str], None]) -> list[Method]:
    """The methods without those that read texts, where the backbone has no text tower.

    Args:
        plan: of the request.
        methods: that are asked for.
        by_name: those of them that are not asked for as ``all``.
        say: takes a line about what is left out.

    Raises:
        UserError: for one that is left out and asked for by name.
    """
    backbone = plan.backbone
    if has_text_tower(backbone):
        return list(methods)
    lacking = [method.spelling for method in methods if method.reads_texts]
    for name in lacking:
        if name in by_name:
            raise UserError(f"{name} {READS_TEXTS.format(backbone=backbone)}, or leave the method out")
    if lacking:
        say(f"left out: {', '.join(lacking)}; they read class names, and {backbone} has no text tower")
    return [method for method in methods if not method.reads_texts]


def check_grid(plan: Plan) -> None:
    """Finds a grid that nothing is chosen by.

    Raises:
        UserError: naming the option.
    """
    name = plan.protocol.name
    if not plan.protocol.variants and (plan.axes or not plan.searches):
        raise UserError(f"{'--grid' if plan.axes else '--no-grid'} has no use in {name}; it is for visual-tuning")
    if plan.axes and not plan.searches:
        raise UserError(f"--grid {plan.axes[0].text} has no use with --no-grid; leave one of them out")
    if plan.part == "val" and plan.protocol.grid and plan.searches:
        raise UserError("--part val: the grid chooses by val already; add --no-grid to be tested on it")

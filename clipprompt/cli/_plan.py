"""``clipprompt train … --plan``: what a run will take, on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipprompt.progress import say_seconds

if TYPE_CHECKING:
    from clipprompt.config import RunConfig
    from clipprompt.training.plan import Plan


def print_plan(config: RunConfig) -> None:
    """Measures a run and prints two tables: its parameters, and what it will take."""
    from rich.console import Console

    from clipprompt.cli._show import new_table
    from clipprompt.training.plan import plan_run

    plan = plan_run(config)
    console = Console()
    console.print(plan.title, "", highlight=False, markup=False, sep="\n")
    table = new_table("parameter", "shape", "numbers", show_footer=True)
    for name, shape in plan.parameters.items():
        table.add_row(name, " × ".join(map(str, shape)) or "scalar", f"{_count(shape):,}")
    table.columns[0].footer, table.columns[2].footer = "in all", f"{plan.n_parameters:,}"
    console.print(table)
    table = new_table("expected", show_lines=False)
    table.add_column("")
    for name, text in describe_plan(plan).items():
        table.add_row(name, text)
    console.print("", table, sep="\n", highlight=False, markup=False)


def describe_plan(plan: Plan) -> dict[str, str]:
    """A plan in words: a short name for each thing that a run takes, and how much of it."""
    shared = f", shared by {plan.n_processes} processes" if plan.n_processes > 1 else ""
    lines = {
        "trained on": plan.data,
        "steps": f"{plan.n_steps:,} of {plan.batch_size} samples{shared}: {plan.epochs} × {plan.steps_per_epoch:,}",
        "before them": f"{say_seconds(plan.preparation)} to check and encode the data",
        "a step": f"{say_seconds(plan.step)}, of which {say_seconds(plan.waiting)} waiting for its samples",
        "validation": f"{say_seconds(plan.validation)} an epoch" if plan.validation else "",
        "in all": f"{say_seconds(plan.total)}, once the backbone is loaded",
        "memory": f"{say_bytes(plan.memory)} of {'the GPU' if plan.on_gpu else 'main memory'}" if plan.memory else "",
        "features": _say_cache(plan),
        "prompt": f"{say_bytes(plan.prompt_size)} on disk",
        "measured": f"{plan.n_measured} steps, {plan.n_prepared:,} samples"
        + (", in one process" if plan.n_processes > 1 else ""),
    }
    return {name: text for name, text in lines.items() if text}


def say_bytes(size: int) -> str:
    """A size as people say it, in powers of ten: 910 B, 34 kB, 2.5 MB, 11 GB."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def _say_cache(plan: Plan) -> str:
    if not plan.cache_size:
        return ""
    return f"{say_bytes(plan.cache_size)} {'on disk while the run lasts' if plan.cache_on_disk else 'in memory'}"


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n

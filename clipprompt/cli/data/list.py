"""``clipprompt data list``: the named sets as a table."""

from __future__ import annotations


def list_sets() -> None:
    """Show the named sets, their splits, and the folders that --root wants."""
    from rich.console import Console
    from rich.table import Table

    from clipprompt.datasets.specifications import SPECIFICATIONS

    table = Table(show_lines=True)
    for title in ("name", "splits (images)", "below --root"):
        table.add_column(title, overflow="fold")
    for one in SPECIFICATIONS.values():
        splits = [f"{name} ({size:,})" + (" *" if name == one.default else "") for name, size in one.splits.items()]
        table.add_row(one.name, "\n".join(splits), "\n".join(one.layout))
    console = Console()
    console.print(table)
    by_hand = ", ".join(one.name for one in SPECIFICATIONS.values() if one.by_hand)
    console.print(f"* what the bare name means. `data download` fetches all but {by_hand}.", highlight=False)

"""The page of a report: tables as in papers, plots, classes, confusions, mistakes, and how all was made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, groupby
from typing import Any

from markupsafe import Markup

from clipprompt.reports.drawing.plot import Plot
from clipprompt.reports.drawing.plots import page_plots
from clipprompt.reports.drawing.svg import panel_svg, themed
from clipprompt.reports.mistakes.confusions import Confusions, Evaluated, counted
from clipprompt.reports.mistakes.contact_sheet import Tile, choose_mistakes, open_tiles, tile_words
from clipprompt.reports.mistakes.predictions import Prediction
from clipprompt.reports.pages import _report_facts as facts
from clipprompt.reports.pages._render import data_uri, render
from clipprompt.reports.protocols.class_accuracy import worst_classes
from clipprompt.reports.protocols.class_precision import class_tables
from clipprompt.reports.protocols.columns import MULTILABEL
from clipprompt.reports.protocols.papers.beside import find_published
from clipprompt.reports.protocols.papers.found import Papers
from clipprompt.reports.protocols.rows import ProtocolTable
from clipprompt.reports.render.grid import PAPER, Grid, has_long_labels, heading_of, transposed
from clipprompt.reports.render.grids import make_grids

Lists = tuple[str, list[tuple[str, list[Any]]]]
"""A subset of the classes, and a list for each method."""

_N_WORST, _N_PAIRS = 5, 10


def render_report_page(
    tables: Sequence[ProtocolTable],
    *,
    title: str = "",
    predictions: Iterable[Prediction] = (),
    commands: Sequence[str] = (),
    incomplete: Sequence[str] = (),
    published: bool = True,
) -> str:
    """One self-contained page: nothing is requested from anywhere, and no script runs.

    Args:
        tables: of protocols.
        title: heading of the page; the empty string says what was run.
        predictions: of the same runs, for confusions and pictures of mistakes; their files are opened.
        commands: that make the same numbers again.
        incomplete: runs that are not finished, each with what is lacking.
        published: whether the papers' numbers stand beside, where they compare.
    """
    numbers, confusions = count(), dict[Evaluated, Confusions]()
    mistakes = choose_mistakes(counted(predictions, confusions))
    records = [record for table in tables for record in table.records]
    return render(
        "report.html",
        title=title or _title(tables),
        facts=facts.run_facts(records) if records else {},
        sections=[_section(table, find_published(table) if published else Papers(), numbers) for table in tables],
        confusions=_confusions(confusions),
        mistakes=list(_mistakes(mistakes, {tested.method for tested in confusions})),
        commands=commands,
        incomplete=incomplete,
        libraries=facts.libraries(records),
        files=facts.tested_files(records),
        draws=facts.draws(records),
    )


def _title(tables: Sequence[ProtocolTable]) -> str:
    if len(tables) != 1:
        return "Results"
    n_methods, n_sets = len(tables[0].rows), len(tables[0].datasets)
    methods = tables[0].rows[0].label if n_methods == 1 else f"{n_methods} methods"
    return f"{tables[0].protocol}: {methods} on {tables[0].datasets[0] if n_sets == 1 else f'{n_sets} sets'}"


def _section(table: ProtocolTable, papers: Papers, numbers: Iterator[int]) -> dict[str, Any]:
    return {
        "grids": [_grid(table, grid) for grid in make_grids(table, papers)],
        "plots": [_plot(plot, numbers) for plot in page_plots(table, papers)],
        "worst": list(_worst(table)) if table.protocol not in MULTILABEL else [],
        "classes": list(class_tables(table)),
        "settings": facts.settings(table),
    }


def _grid(table: ProtocolTable, whole: Grid) -> dict[str, Any]:
    grid = _for_page(whole, heading_of(table, None))
    n_columns = sum(not column.endswith(PAPER) for column in grid.columns) if grid.kind else len(grid.columns)
    return {"grid": grid, "n": n_columns, "width": _card_width([row.label for row in table.rows], n_columns)}


def _card_width(labels: Sequence[str], n_columns: int) -> float:
    """Of a table in rem, with room for names up to some length; longer ones take several lines."""
    return min(max(6.5, 0.46 * max(map(len, labels), default=0)), 15.0) + 4.5 * n_columns


def _for_page(grid: Grid, average: str) -> Grid:
    """Sets from above, where they stand from left to right and methods have room; the average first, if last."""
    if len(grid.blocks) == 1 and not grid.blocks[0].heading:
        return grid if grid.stays or has_long_labels(grid) else transposed(grid)
    return replace(grid, blocks=tuple(sorted(grid.blocks, key=lambda block: block.heading != average)))


def _plot(plot: Plot, numbers: Iterator[int]) -> dict[str, Any]:
    panels = [(panel.title, Markup(panel_svg(panel, f"p{next(numbers)}-"))) for panel in plot.panels]
    width = max(panel.size[0] for panel in plot.panels)
    looks = [(name, look.sign, themed(look.colour)) for name, look in plot.keys]
    return {"title": plot.title, "caption": plot.caption, "looks": looks, "panels": panels, "width": width}


def _worst(table: ProtocolTable) -> Iterator[tuple[str, list[Lists]]]:
    """By data set and subset of its classes, the worst classes of each row."""
    for name in table.datasets:
        subsets = sorted({record["tested_subset"] for record in table.records if record["dataset"] == name})
        yield name, [(subset, _worst_of_rows(table, name, subset)) for subset in subsets]


def _worst_of_rows(table: ProtocolTable, dataset: str, subset: str) -> list[tuple[str, list[Any]]]:
    found = []
    for row in table.rows:
        records = [r for r in row.records if r["dataset"] == dataset and r["tested_subset"] == subset]
        if records:
            found.append((row.label, worst_classes(records, _N_WORST)))
    return found


def _confusions(counts: Mapping[Evaluated, Confusions]) -> list[tuple[str, list[Lists]]]:
    """By data set and subset of its classes, the most confused pairs of each method."""
    found: dict[str, dict[str, list[tuple[str, list[Any]]]]] = defaultdict(lambda: defaultdict(list))
    for evaluated, confusions in counts.items():
        found[evaluated.dataset][evaluated.subset].append((evaluated.method, confusions.pairs(_N_PAIRS)))
    return [(dataset, list(subsets.items())) for dataset, subsets in found.items()]


def _mistakes(chosen: Sequence[Prediction], methods: Collection[str]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """By data set, what stands under each picture, and the picture or the reason why there is none."""
    said = ["method"] if len(methods) > 1 else []
    for dataset, tiles in groupby(open_tiles(chosen), key=lambda tile: tile.mistake.dataset):
        yield dataset, [_tile(tile, said) for tile in tiles]


def _tile(tile: Tile, said: Sequence[str]) -> dict[str, str]:
    truth, predicted, sure = tile_words(tile.mistake, said)
    picture = "" if tile.picture is None else data_uri(tile.picture, "jpeg")
    words = {"truth": truth, "predicted": predicted, "sure": sure}
    return {**words, "picture": picture, "path": tile.mistake.path, "reason": tile.reason}

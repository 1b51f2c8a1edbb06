"""``clipprompt eval base-to-novel`` and its like: a protocol over methods, data sets and seeds, as a sweep of runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from clipprompt.cli._options import Pretrained, Root
from clipprompt.cli.eval._protocol_commands import PROTOCOLS
from clipprompt.cli.eval._sweep import list_tasks, name_failures, run, say, show_results


def protocol(
    context: typer.Context,
    methods: Annotated[
        str | None,
        typer.Option("--methods", "-m", metavar="A,B", help="learners, or all", show_default="the protocol's, if any"),
    ] = None,
    datasets: Annotated[
        list[str] | None,
        typer.Option(
            "--datasets",
            "--dataset",
            "-d",
            metavar="A,B",
            help="names, own data (tables, folders), or all of the protocol's; repeatable",
            show_default="all",
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="1,2", help="one run each", show_default="the protocol's")
    ] = None,
    root: Root = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="open_clip model, timm:NAME, hf-hub:ORG/NAME or folder",
            show_default="the protocol's",
        ),
    ] = None,
    pretrained: Pretrained = None,
    precision: Annotated[str | None, typer.Option(metavar="NAME", help="fp32, bf16 or fp16")] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")] = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="train.epochs=5; coop:lr=0.01 is for one method; repeatable"),
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(metavar="1,16", help="pictures of each class, or all", show_default="the protocol's"),
    ] = None,
    known: Annotated[
        str | None,
        typer.Option(
            metavar="0.1,0.5",
            help="shares of the labels that are known, single-positive, or all",
            show_default="the protocol's",
        ),
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="labelled corpus (.parquet) for methods that learn from captions, or mini"),
    ] = None,
    class_splits: Annotated[
        str, typer.Option(metavar="0,1", help="halves of the classes: 0 as in papers, others drawn by this seed")
    ] = "0",
    shares: Annotated[
        str | None,
        typer.Option(metavar="0.1,1", help="parts of the training pictures, one run each", show_default="all of them"),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=A,B",
            help="values to search: train.lr=0.1,0.01; vpt-deep:learner.n_ctx=10,50 is for one method; repeatable",
            show_default="the protocol's",
        ),
    ] = None,
    no_grid: Annotated[bool, typer.Option("--no-grid", help="search nothing; take settings as they are")] = False,
    source: Annotated[
        str | None, typer.Option(metavar="DATA", help="set that is learnt from", show_default="the protocol's")
    ] = None,
    part: Annotated[str, typer.Option(metavar="PART", help="test, or val to choose settings by")] = "test",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="runs at a time")] = 1,
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="local, processes or ray", show_default="local, or processes for --jobs"),
    ] = None,
    shard: Annotated[str | None, typer.Option(metavar="3/8", help="run the third of eight parts of the runs")] = None,
    predictions: Annotated[bool, typer.Option("--predictions", help="write what every picture was taken for")] = False,
    output_format: Annotated[
        str, typer.Option("--format", "-f", metavar="NAME", help="table, md, csv, latex or jsonl")
    ] = "table",
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="write the curves as files", show_default="that of the runs")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="of the runs", show_default="runs/…")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="keeps image features", show_default="the user's folder of caches"),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="keep no image features")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list the runs and where they stand, and end")] = False,
) -> None:
    """Runs the protocol that the command is named after."""
    from clipprompt.features.image_cache import default_cache_folder
    from clipprompt.reports.render.table import check_protocol_format
    from clipprompt.sweep.engines import load_engine
    from clipprompt.sweep.request import Request
    from clipprompt.sweep.shards import parse_shard
    from clipprompt.sweep.sweep import prepare

    check_protocol_format(output_format)
    name = context.info_name or ""
    runner = load_engine(engine or ("local" if jobs == 1 else "processes"))
    request = Request(
        protocol=name,
        methods=tuple(_names(methods or "")),
        datasets=tuple(_full(one) for given in datasets or ["all"] for one in _datasets(given)),
        seeds=_numbers("--seeds", seeds),
        shots=_shots(shots),
        known=_known(known),
        captions=captions,
        class_splits=_numbers("--class-splits", class_splits),
        settings=(*_as_settings(backbone, pretrained, precision), *(settings or ())),
        source=None if source is None else _full(source),
        part=part,
        root=None if root is None else str(root.absolute()),
        shares=_shares(shares),
        grid=tuple(grid or ()),
        searches=not no_grid,
    )
    folder = output or _default_folder(name, backbone)
    full, tasks = prepare(
        request,
        folder,
        run_settings=[f"backbone.device={json.dumps(device)}"],
        cache=None if no_cache else cache or default_cache_folder(),
        predictions=predictions,
        shard=None if shard is None else parse_shard(shard),
        say=say,
    )
    if dry_run:
        list_tasks(tasks)
        return
    queue = run(full, tasks, folder, runner, jobs)
    try:
        show_results(folder, output_format, (plots or folder) if "plots" in PROTOCOLS[name].options else None)
    finally:  # below the table, which may be long
        is_well = name_failures(queue, folder)
    raise typer.Exit(0 if is_well else 1)


def _names(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _datasets(text: str) -> list[str]:
    """Several, or one whose path has a comma."""
    return [text] if Path(text).exists() else _names(text)


def _full(name: str) -> str:
    """Own data by its whole path, so that a sweep goes on from any folder; a name is a name, beside a folder too."""
    from clipprompt.datasets.select import is_named

    if name == "all" or is_named(name) or not Path(name).exists():
        return name
    return str(Path(name).absolute())


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    from clipprompt.errors import UserError

    parts = _names(text or "")
    if (text is not None and not parts) or not all(part.isdecimal() for part in parts):
        raise UserError(f"{option} {text!r} is no list of whole numbers, such as 1,2,3")
    numbers = tuple(map(int, parts))
    if twice := [n for n in numbers if numbers.count(n) > 1]:
        raise UserError(f"{option} {text} names {twice[0]} twice; the same run would count as two")
    return numbers


def _shots(text: str | None) -> tuple[int | None, ...]:
    if text is not None and "all" in _names(text):
        rest = ",".join(part for part in _names(text) if part != "all")
        return (*(_numbers("--shots", rest) if rest else ()), None)
    return _numbers("--shots", text)


def _known(text: str | None) -> tuple[float | str | None, ...]:
    """Shares as numbers; what is none is for the protocol to judge."""
    from clipprompt.errors import UserError

    found = [None if part == "all" else _number(part) for part in _names(text or "")]
    if text is not None and not found:
        raise UserError(f"--known {text!r} names no share of the labels, such as 0.1,0.5")
    if twice := [one for one in found if found.count(one) > 1]:
        raise UserError(f"--known {text} names {'all' if twice[0] is None else twice[0]} twice")
    return tuple(found)


def _shares(text: str | None) -> tuple[float, ...]:
    """Parts of the training pictures; what is none is for the protocol to judge."""
    from clipprompt.errors import UserError

    found = [_number(part) for part in _names(text or "")]
    numbers = tuple(one for one in found if not isinstance(one, str))
    if (text is not None and not found) or len(numbers) < len(found):
        raise UserError(f"--shares {text!r} is no list of parts of the training pictures, such as 0.1,0.5,1")
    if twice := [one for one in numbers if numbers.count(one) > 1]:
        raise UserError(f"--shares {text} names {twice[0]:g} twice; the same run would count as two")
    return numbers


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _as_settings(backbone: str | None, pretrained: str | None, precision: str | None) -> list[str]:
    given = {"backbone.name": backbone, "backbone.pretrained": pretrained, "backbone.precision": precision}
    values = {key: "null" if value == "none" else json.dumps(value) for key, value in given.items() if value}
    return [f"{key}={value}" for key, value in values.items()]


def _default_folder(protocol: str, backbone: str | None) -> Path:
    """``runs/PROTOCOL``, or ``runs/PROTOCOL-BACKBONE`` where one is named."""
    name = "" if backbone is None else "-" + Path(re.sub("^(timm|hf-hub):", "", backbone).rstrip("/")).name
    return Path("runs") / f"{protocol}{name}"

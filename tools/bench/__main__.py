"""``python -m tools.bench [NAME ...] [--device cuda]``: measures every comparison in one run and prints a table."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import platform
import sys
from importlib.metadata import version

from tools.bench._measure import Row


def main(arguments: list[str]) -> int:
    """Runs the benchmarks of this folder, or those named, and prints a Markdown table."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__()) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--device", default="cpu", help="cpu or cuda; cuda for learners alone")
    asked = parser.parse_args(arguments)
    wanted = [name.replace("-", "_") for name in asked.names]
    if asked.device != "cpu" and wanted != ["learners"]:
        parser.error("only the benchmark learners runs on a GPU")
    os.environ["CLIPPROMPT_BENCH_DEVICE"] = asked.device
    unknown = [name for name in wanted if name not in names]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; choose from {', '.join(names)}", file=sys.stderr)
        return 2
    print(f"{_machine(asked.device)}, torch {version('torch')}, Python {platform.python_version()}\n")
    print("| what | plain | ours | ratio | plain, peak | ours, peak |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    notes = []
    for name in wanted or names:
        print(f"measuring {name} …", file=sys.stderr)
        for row in importlib.import_module(f"tools.bench.{name}").rows():
            print(_line(row), flush=True)
            if row["note"]:
                notes.append(f"- {row['what']}: {row['note']}")
    print("", *notes, sep="\n")
    return 0


def _machine(device: str) -> str:
    if device == "cpu":
        return f"{platform.machine()}, {os.cpu_count()} cores"
    import torch

    return torch.cuda.get_device_name()


def __path__() -> list[str]:
    return list(importlib.import_module("tools.bench").__path__)


def _line(row: Row) -> str:
    cells = [
        row["what"],
        _seconds(row["plain_s"]),
        _seconds(row["ours_s"]),
        "–" if row["ratio"] is None else f"**{row['ratio']:.1f} ×**",
        _megabytes(row["plain_mb"]),
        _megabytes(row["ours_mb"]),
    ]
    return f"| {' | '.join(cells)} |"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _megabytes(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} MB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""Run one benchmark by name, or list them all."""

import argparse
import ast
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure
from benchmarks.machine import described
from billow.telemetry import start_logging

FOLDER = Path(__file__).resolve().parent


def titles() -> dict[str, str]:
    """Return every benchmark with the first line of its docstring: modules with `figures`."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        module = ast.parse(path.read_text())
        names = {each.name for each in module.body if isinstance(each, ast.FunctionDef)}
        if "figures" in names:
            found[path.stem] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found


def parser_of(name: str, title: str) -> argparse.ArgumentParser:
    """Return the parser of one benchmark, its own arguments included."""
    parser = argparse.ArgumentParser(prog=f"benchmarks {name}", description=title)
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    add_arguments = getattr(importlib.import_module(f"benchmarks.{name}"), "arguments", None)
    if add_arguments:
        add_arguments(parser)
    return parser


def shown(found: Iterator[Figure], *, as_json: bool) -> bool:
    """Print figures as they come; return whether every goal was reached."""
    figures = []
    for figure in found:
        figures.append(figure)
        if as_json:
            print(json.dumps(figure.document()), flush=True)
        else:
            print(f"  {figure.name}: {figure.value:.4g} {figure.unit}", file=sys.stderr)
    if figures and not as_json:
        Console().print(table_of(figures))
    return all(figure.reached is not False for figure in figures)


def table_of(figures: list[Figure]) -> Table:
    """Return the table for people."""
    table = Table("figure", "value", "goal", "reached", "peer", "times better")
    for figure in figures:
        reached = {True: "yes", False: "NO", None: ""}[figure.reached]
        peer = f"{figure.peer.name} {figure.peer.value:.4g}" if figure.peer else ""
        table.add_row(
            figure.name,
            f"{figure.value:.4g} {figure.unit}",
            figure.goal_text or "",
            reached,
            peer,
            f"{figure.ratio:.2f}" if figure.ratio else "",
        )
    return table


def main() -> int:
    """Run what the command line names."""
    known = titles()
    if sys.argv[1:2] in ([], ["--list"], ["-h"], ["--help"]):
        print("\n".join(f"{name}\t{title}" for name, title in known.items()))
        return 0 if sys.argv[1:] else 2
    name = sys.argv[1]
    if name not in known:
        print(f"no benchmark {name!a}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    arguments = parser_of(name, known[name]).parse_args(sys.argv[2:])
    start_logging()
    print(described(), file=sys.stderr)
    module = importlib.import_module(f"benchmarks.{name}")
    return 0 if shown(module.figures(arguments), as_json=arguments.json) else 1


if __name__ == "__main__":
    sys.exit(main())

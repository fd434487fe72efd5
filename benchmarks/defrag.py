# SPDX-License-Identifier: Apache-2.0
"""Defragmentation: slots won, the bound beside them, and seconds; or one file with --input."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

from benchmarks.defrag_figures import PARTS, figures_of
from benchmarks.defrag_replay import replayed
from benchmarks.defrag_run import Run, run, written
from benchmarks.figure import Figure
from billow.errors import BillowError, Invalid
from billow.sense.bytes_in import json_of, read_bytes


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is measured, or the one file that is solved or checked."""
    parser.add_argument("--only", choices=sorted(PARTS), help="one figure of the issue")
    parser.add_argument("--input", type=Path, help="a mapping in the vmr format, .json or .json.gz")
    parser.add_argument("--moves", type=int, default=100, help="most migrations")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds")
    parser.add_argument("--plan", type=Path, help="where the moves are written, in order")
    parser.add_argument("--replay", type=Path, help="check such a file against --input instead")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure the issue's figures; with --input print one JSON object instead."""
    if arguments.input is None:
        if arguments.replay is not None or arguments.plan is not None:
            _fail(Invalid("--plan and --replay go with --input", fix="name the vmr file"))
        yield from figures_of(arguments.only)
        return
    try:
        document = json_of(read_bytes(arguments.input), arguments.input.name)
        answer = _replay(arguments, document) if arguments.replay else _solve(arguments, document)
    except BillowError as error:
        _fail(error)
    print(json.dumps(answer), flush=True)
    if answer.get("valid") is False:
        sys.exit(1)


def _solve(arguments: argparse.Namespace, document: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    if arguments.moves < 0 or not arguments.time_limit > 0:
        raise Invalid("--moves must be at least 0 and --time-limit above 0", fix="correct them")
    started = time.monotonic()
    found: Run = run(document, arguments.input.name, arguments.moves, arguments.time_limit)
    seconds = time.monotonic() - started
    if arguments.plan is not None:
        lines = ",\n".join(json.dumps(move) for move in written(found.plan))
        arguments.plan.write_text(f"[\n{lines}\n]\n")
    return {
        "slots": found.slots,
        "bound": found.bound,
        "seconds": round(seconds, 3),
        "moves": len(found.plan.steps),
        "proven": found.slots >= found.bound,
    }


def _replay(arguments: argparse.Namespace, document: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    moves = json_of(read_bytes(arguments.replay), arguments.replay.name)
    found = replayed(document, cast(list[dict[str, Any]], moves))
    for fault in found.faults[:20]:
        print(fault, file=sys.stderr)
    return {
        "valid": not found.faults,
        "slots": found.slots,
        "moves": found.moves,
        "waves": found.waves,
        "faults": len(found.faults),
    }


def _fail(error: BillowError) -> NoReturn:
    """Say what is wrong and end as for a wrong command line."""
    print("\n".join([error.brief, *error.details, error.fix]), file=sys.stderr)
    sys.exit(2)

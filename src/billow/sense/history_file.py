# SPDX-License-Identifier: Apache-2.0
"""Keep what a recorder knows in one file, so that a restarted process remembers.

The file is a cache: where it is missing, damaged or of another version, Billow begins to remember
anew and says so. It is replaced as a whole, never written in place.
"""

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

from billow.sense.recorder import Life, Past, Recorder
from billow.sense.window import Window

log = structlog.get_logger()
VERSION: Final = 1
MOST_VALUES: Final = 8_000_000
"""Samples kept of one measure (32 MiB before compression): of larger pools the newest ones only."""


def contents(recorder: Recorder) -> Mapping[str, npt.NDArray[Any]]:
    """Return a copy of what a recorder knows, for `write`."""
    window, past = recorder.window, recorder.past
    kept = window.compacted() if window.names else window
    cpu, memory = kept.samples()
    columns = min(cpu.shape[1], MOST_VALUES // max(len(kept.names), 1))
    cpu, memory = cpu[:, cpu.shape[1] - columns :], memory[:, memory.shape[1] - columns :]
    words = {
        "version": VERSION,
        "step_s": recorder.step_s,
        "names": kept.names,
        "hosts": recorder.hosts,
        "lives": [[*_fields(life)] for life in past.lives],
        "levels": [[at, reserved.tolist(), sold.tolist()] for at, reserved, sold in past.levels],
        "power": past.power,
        "switched": past.switched,
        "wakes": past.wakes,
        "moves": [*past.moves],
    }
    return {
        "text": np.frombuffer(json.dumps(words).encode(), dtype=np.uint8),
        "cpu": cpu,
        "memory": memory,
        "born": kept.born,
        "settled": kept.settled,
        "home": kept.home,
    }


def write(arrays: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Write the contents of a recorder. Blocking I/O; raises OSError."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    part.replace(path)


def load(recorder: Recorder, path: Path) -> None:
    """Let a recorder that has seen nothing yet remember what a file says. Blocking I/O."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            _remember(recorder, {name: arrays[name] for name in arrays.files})
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        log.warning("the history cannot be read and begins anew", file=path.name, why=str(error))


def _remember(recorder: Recorder, arrays: Mapping[str, Any]) -> None:
    words = json.loads(arrays["text"].tobytes())
    if words["version"] != VERSION or words["step_s"] != recorder.step_s:
        raise ValueError("it is of another version or another step")
    window = Window.of(words["names"])
    window.restore(arrays["born"], arrays["settled"], arrays["home"])
    window.load(arrays["cpu"], arrays["memory"])
    past = Past(power=words["power"], switched=words["switched"], wakes=words["wakes"])
    past.moves.extend((at, count) for at, count in words.get("moves", ()))
    past.lives.extend(Life(*life) for life in words["lives"])
    past.levels.extend(
        (at, np.array(reserved, dtype=np.int64), np.array(sold, dtype=np.int64))
        for at, reserved, sold in words["levels"]
    )
    recorder.remember(words["hosts"], window, past)


def _fields(life: Life) -> Iterable[object]:
    return life.cpu_milli, life.memory_mib, life.tenant, life.born, life.ended

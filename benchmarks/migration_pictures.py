# SPDX-License-Identifier: Apache-2.0
"""The pictures of a comparison, as SVG: bars of the total time, and vCPU work over time.

Every number in them comes from the moves that were measured; nothing is smoothed.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from benchmarks.migration_cases import BALANCED, Cases
from benchmarks.migration_trial import WRITER, Trial

WIDTH = 720.0
BAR, GAP, LEFT, RIGHT, TOP = 20.0, 10.0, 190.0, 70.0, 34.0
PANEL_HEIGHT, PANEL_LEFT, PANEL_RIGHT = 96.0, 44.0, 90.0
MOST_PERCENT = 120.0
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #333 }
  .title { font-weight: 600 }
  .quiet { fill: #777 }
  .ours { fill: #0072b2 }
  .peer { fill: #b8b8b8 }
  .never { fill: none; stroke: #999; stroke-dasharray: 4 3 }
  .grid { stroke: #ddd }
  .line { fill: none; stroke-width: 1.8 }
  .writer { stroke: #d55e00 } text.writer { stroke: none; fill: #d55e00 }
  .light { stroke: #009e73 } text.light { stroke: none; fill: #009e73 }
  .reader { stroke: #0072b2 } text.reader { stroke: none; fill: #0072b2 }
  .end { stroke: #777; stroke-dasharray: 3 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .quiet { fill: #aaa } .peer { fill: #666 } .grid { stroke: #444 }
    .ours, text.reader { fill: #56b4e9 } .reader { stroke: #56b4e9 }
  }
"""


def draw(folder: Path, name: str, cases: Cases) -> list[Path]:
    """Write both pictures of a comparison into a folder; return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    total, work = folder / f"migration-{name}-total.svg", folder / f"migration-{name}-work.svg"
    total.write_text(bars(cases))
    work.write_text(lines(cases))
    return [total, work]


def bars(cases: Cases) -> str:
    """Return the total time of each mode, the shortest first; a mode that never ended is open."""
    times = {mode: cases.total_s(mode) for mode in cases.trials}
    ordered = sorted(times, key=times.__getitem__)
    most = max((time for time in times.values() if math.isfinite(time)), default=1.0)
    scale = (WIDTH - LEFT - RIGHT) / most
    rows = []
    for number, mode in enumerate(ordered):
        y = TOP + number * (BAR + GAP)
        rows += list(_bar(mode, times[mode], y, scale))
    runs = max(len(trials) for trials in cases.trials.values())
    title = f"Total time of a live migration, seconds (median of {runs})"
    height = TOP + len(ordered) * (BAR + GAP) + 4
    return _svg(height, [_text(0, 14, title, "title"), *rows])


def _bar(mode: str, time: float, y: float, scale: float) -> Iterator[str]:
    ends = math.isfinite(time)
    width = time * scale if ends else WIDTH - LEFT - RIGHT
    kind = ("ours" if mode.startswith("Billow") else "peer") if ends else "never"
    yield _text(LEFT - 8, y + BAR * 0.7, mode, anchor="end")
    size = f'width="{width:.1f}" height="{BAR:.0f}"'
    yield f'<rect x="{LEFT:.0f}" y="{y:.0f}" {size} class="{kind}"/>'
    told = f"{time:.1f}" if ends else "no end"
    yield _text(LEFT + width + 6, y + BAR * 0.7, told)


def lines(cases: Cases) -> str:
    """Return a panel per mode: the work of each vCPU over time, in % of its work before."""
    chosen = {mode: _middle(trials) for mode, trials in cases.trials.items()}
    shown = sorted(chosen, key=lambda mode: (mode != BALANCED[0], not mode.startswith("Billow")))
    longest = max(_end(chosen[mode]) for mode in shown)
    parts = [_text(0, 14, "Work of each vCPU during the move, % of its work before", "title")]
    for number, mode in enumerate(shown):
        top = TOP + 14 + number * (PANEL_HEIGHT + 34)
        parts += list(_panel(mode, chosen[mode], top, longest))
    bottom = TOP + 14 + len(shown) * (PANEL_HEIGHT + 34)
    parts.append(_text(WIDTH / 2, bottom, "seconds since the order", "quiet", anchor="middle"))
    return _svg(bottom + 8, parts)


def _panel(mode: str, trial: Trial, top: float, longest: float) -> Iterator[str]:
    wide, tall = WIDTH - PANEL_LEFT - PANEL_RIGHT, PANEL_HEIGHT
    yield _text(PANEL_LEFT, top - 5, mode)
    for percent in (0, 50, 100):
        y = top + tall * (1 - percent / MOST_PERCENT)
        yield _line(PANEL_LEFT, y, PANEL_LEFT + wide, y, "grid")
        yield _text(PANEL_LEFT - 6, y + 4, str(percent), "quiet", anchor="end")
    for second in range(0, int(longest) + 1, 5 if longest > 10 else 1):
        x = PANEL_LEFT + wide * second / longest
        yield _text(x, top + tall + 13, str(second), "quiet", anchor="middle")
    if trial.ended:
        x = PANEL_LEFT + wide * trial.total_s / longest
        yield _line(x, top, x, top + tall, "end")
        yield _text(x + 4, top + 10, "there", "quiet")
    for kind, course in _kinds(trial):
        points = " ".join(
            f"{PANEL_LEFT + wide * at / longest:.1f},"
            f"{top + tall * (1 - min(max(work, 0), MOST_PERCENT) / MOST_PERCENT):.1f}"
            for at, work in course
            if 0 <= at <= longest
        )
        yield f'<polyline points="{points}" class="line {kind}"/>'
    named = dict.fromkeys(kind for kind, _ in _kinds(trial))
    for number, kind in enumerate(named):
        words = {"light": "light writer"}.get(kind, kind)
        yield _text(WIDTH - PANEL_RIGHT + 8, top + 12 + 16 * number, words, kind)


def _kinds(trial: Trial) -> list[tuple[str, Sequence[tuple[float, float]]]]:
    """Return the line of each vCPU with its class: the second writer is the light one."""
    found: list[tuple[str, Sequence[tuple[float, float]]]] = []
    writers = 0
    for role, course in zip(trial.roles, trial.courses, strict=True):
        writers += role == WRITER
        found.append(("light" if role == WRITER and writers > 1 else role, course))
    return found


def _middle(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the median time."""
    ordered = sorted(trials, key=lambda each: each.total_s if each.ended else math.inf)
    return ordered[len(ordered) // 2]


def _end(trial: Trial) -> float:
    return max((course[-1][0] for course in trial.courses if course), default=1.0)


def _svg(height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" '
        'role="img">'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} class="{kind}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'

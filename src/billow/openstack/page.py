# SPDX-License-Identifier: Apache-2.0
"""The report as one file that stands alone: the console's looks, no script, nothing to fetch."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2

from billow import __version__
from billow.model.counting import counted
from billow.model.report import Picture
from billow.openstack.heat import Heat, Patch, Tile
from billow.openstack.overview import Overview, Section
from billow.web import words
from billow.web.house import HERE as WEB
from billow.web.pages.reports import Figure, figures_of
from billow.web.pictures import Drawing, draw

HERE: Final = Path(__file__).parent
STYLES: Final = ("console.css", "reports.css")
WIDTH: Final = 1180
TILE, GAP, HEAD = 22, 3, 18
_ADDRESS: Final = re.compile(r'url\("([^"]+)"\)')


@dataclass(frozen=True, slots=True)
class Square:
    """A host on the map: where, how full, what a pointer tells."""

    x: int
    y: int
    size: int
    classes: str
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The map as shapes of an SVG."""

    height: int
    squares: tuple[Square, ...]
    words: tuple[tuple[int, str], ...]
    width: int = WIDTH


@dataclass(frozen=True, slots=True)
class Told:
    """A section with its figures in words and its pictures as shapes."""

    section: Section
    figures: tuple[Figure, ...]
    pictures: tuple[tuple[Picture, Drawing], ...]


def page(view: Overview, took_s: Mapping[str, float]) -> str:
    """Return the report as HTML. Reads the console's style sheets and fonts."""
    told = [
        Told(
            each,
            tuple(figures_of(each.report, each.after)),
            tuple((picture, draw(picture)) for picture in each.report.pictures),
        )
        for each in view.sections
    ]
    template = _environment().get_template("overview.html")
    return template.render(
        view=view,
        told=told,
        chart=chart_of(view.heat),
        style=_style(),
        dark=_read("dark.css"),
        took_s=took_s,
        version=__version__,
    )


def chart_of(heat: Heat) -> Chart:
    """Return where each host stands on the map, rack by rack; many hosts stand as small ones."""
    count = sum(len(each.tiles) for each in heat.patches)
    size = TILE if count <= 600 else 12 if count <= 4000 else 7
    squares: list[Square] = []
    heads: list[tuple[int, str]] = []
    top = 0
    for patch in heat.patches:
        if _named(patch):
            heads.append((top + 12, _named(patch)))
            top += HEAD
        placed = list(_placed(patch, top, size))
        squares += placed
        top = max((each.y for each in placed), default=top) + size + 2 * GAP
    return Chart(max(top, size), tuple(squares), tuple(heads))


def _named(patch: Patch) -> str:
    return " / ".join(part for part in (patch.zone, patch.rack) if part)


def _placed(patch: Patch, top: int, size: int) -> Iterator[Square]:
    across = WIDTH // (size + GAP)
    for place, tile in enumerate(patch.tiles):
        row, column = divmod(place, across)
        x, y = column * (size + GAP), top + row * (size + GAP)
        yield Square(x, y, size, f"l{tile.level} m-{tile.mark}", _title(tile))


def _title(tile: Tile) -> str:
    used = "" if tile.cpu_used is None else f", {tile.cpu_used:.0%} used"
    return (
        f"{tile.host}: CPU {tile.cpu_reserved:.0%} reserved{used}, memory "
        f"{tile.memory_reserved:.0%} reserved, {counted(tile.instances, 'instance')}"
        f"{'' if tile.mark == 'ok' else ', ' + tile.mark}"
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([HERE / "templates", WEB / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words.FUNCTIONS)
    environment.filters.update(words.FILTERS)
    return environment


def _style() -> str:
    """Return the console's style sheets, the fonts within."""
    return _ADDRESS.sub(_inlined, "\n".join(map(_read, STYLES)))


def _inlined(found: re.Match[str]) -> str:
    data = (WEB / "static" / found[1]).read_bytes()
    return f'url("data:font/woff2;base64,{b64encode(data).decode()}")'


def _read(name: str) -> str:
    return (WEB / "static" / name).read_text()

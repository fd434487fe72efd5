# SPDX-License-Identifier: Apache-2.0
"""Requests for instances, as they are typed: `name,cpu=1,memory=512MiB,zone=a`."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from billow.cli.words import mib_of, milli_of
from billow.errors import Invalid

Request = dict[str, Any]


def whole(text: str) -> int:
    """Return a whole number. Raises Invalid."""
    if text.isascii() and text.removeprefix("-").isdecimal() and len(text) <= 12:
        return int(text)
    raise Invalid(f"{ascii(text)[:60]} is no whole number", fix="give one like 2")


def truth(text: str) -> bool:
    """Return yes or no. Raises Invalid."""
    if text in {"true", "yes", "false", "no"}:
        return text in {"true", "yes"}
    raise Invalid(f"{ascii(text)[:60]} is neither true nor false", fix="give true or false")


SIZE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "cpu": ("cpu_milli", milli_of),
    "memory": ("memory_mib", mib_of),
    "numa": ("numa_nodes", whole),
    "huge": ("huge_pages", truth),
    "gpus": ("gpus", whole),
    "arch": ("arch", str),
    "traits": ("traits", lambda text: text.split("+")),
    "dedicated": ("dedicated", truth),
}
USUAL_SHAPE = {"cpu_milli": 1000, "memory_mib": 512}
REST: dict[str, Callable[[str], Any]] = {
    "kind": str,
    "priority": whole,
    "group": str,
    "tenant": str,
    "zone": str,
    "service": str,
    "migration": str,
    "disk": str,
    "image": str,
}


def request_of(text: str) -> Request:
    """Return the request that a text like `web-1,cpu=2,memory=4GiB` stands for. Raises Invalid."""
    name, *pairs = text.split(",")
    return {"id": name, **sized(described(pairs))}


def sized(request: Request) -> Request:
    """Return a request with a whole shape: what is not said is as usual."""
    shape = request.get("shape", {})
    return {**request, "shape": shape if isinstance(shape, str) else {**USUAL_SHAPE, **shape}}


def described(pairs: Iterable[str]) -> Request:
    """Return what pairs like `cpu=2` say of an instance. Raises Invalid."""
    request: Request = {}
    size: Request = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if equals and key in SIZE:
            name, read = SIZE[key]
            size[name] = read(value)
        elif equals and key in REST:
            request[key] = REST[key](value)
        elif equals and key == "shape":
            request["shape"] = value
        else:
            raise _unknown(pair)
    if size and "shape" in request:
        raise Invalid("an instance has a shape by name or by amounts", fix="give one of both")
    return {**request, **({"shape": size} if size else {})}


def group_of(text: str) -> Request:
    """Return the group that a text like `web:anti-affinity:host` stands for. Raises Invalid."""
    name, _, rest = text.partition(":")
    rule, _, scope = rest.partition(":")
    if not name or not rule:
        raise Invalid(
            f"{ascii(text)[:60]} is no group", fix="write NAME:anti-affinity:host or the like"
        )
    return {"name": name, "rule": rule, "scope": scope or "host"}


def in_group(request: Request, groups: Sequence[Request]) -> Request:
    """Return a request as a member of the group declared with it, unless it names another.

    Raises:
        Invalid: several are declared, and it names none.
    """
    if not groups or "group" in request:
        return request
    if len({each["name"] for each in groups}) > 1:
        raise Invalid(
            "several groups are declared, and an instance is in one",
            fix="say which: group=NAME",
        )
    return {**request, "group": groups[0]["name"]}


def requests_in(path: Path) -> list[Request]:
    """Return the requests in a JSON file: a list, or an object with `requests`. Raises Invalid."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Invalid(f"{str(path)!a} cannot be read as JSON", (str(error)[:200],)) from error
    requests = content.get("requests") if isinstance(content, dict) else content
    if isinstance(requests, list) and all(isinstance(each, dict) for each in requests):
        return requests
    raise Invalid(f"{str(path)!a} holds no list of requests")


def knobs_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Return a policy from pairs like `mode=pack` or `limit=0.8`. Raises Invalid.

    A value that reads as JSON is taken as such; everything else is a word.
    """
    knobs: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Invalid(f"{ascii(pair)[:60]} is no knob of a policy", fix="write --set K=V")
        knobs[name] = _value(value)
    return knobs


def _value(text: str) -> Any:  # noqa: ANN401 (what JSON holds)
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _unknown(pair: str) -> Invalid:
    known = ", ".join([*SIZE, "shape", *REST])
    return Invalid(
        f"{ascii(pair)[:60]} says nothing of an instance",
        fix=f"write KEY=VALUE with one of {known}",
    )

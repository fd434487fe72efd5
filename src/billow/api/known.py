# SPDX-License-Identifier: Apache-2.0
"""What the OpenAPI says of the request at hand: its methods and its query parameters."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from billow.errors import Invalid


def methods_at(openapi: Mapping[str, Any], path: str) -> list[str]:
    """Return every method of the resource at a path; the framework knows the first route only."""
    matching = [template for template in openapi["paths"] if _form(template).fullmatch(path)]
    nearest = max(matching, key=len, default="")
    return sorted(method.upper() for method in openapi["paths"].get(nearest, ()))


@cache
def _form(template: str) -> re.Pattern[str]:
    """Return what the paths of a template look like; names may hold slashes."""
    return re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(template)))


async def check_known(request: Request) -> None:
    """Check the method and that every query parameter is known: no typo is ignored.

    Raises:
        HTTPException: 405, where the name of one resource could be read as another's verb.
        Invalid: an unknown query parameter.
    """
    if request.method not in methods_at(request.app.openapi(), request.url.path):
        raise HTTPException(405)
    if request.query_params:
        _check_query(request)


def _check_query(request: Request) -> None:
    template = request.scope["route"].path.replace(":path}", "}")
    operation = request.app.openapi()["paths"][template][request.method.lower()]
    declared = operation.get("parameters", ())
    known = [each["name"] for each in declared if each["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            raise Invalid(
                f"there is no query parameter {name!a:.80}",
                fix=f"known are {', '.join(known)}" if known else "there are none here",
                code="unknown-parameter",
            )

# SPDX-License-Identifier: Apache-2.0
"""Bytes of unknown origin: read, unzipped and parsed without trusting any of it.

Every way in which a file can be broken ends in an Invalid that says which; nothing is guessed.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Final, NoReturn

from billow.errors import Invalid, NotFound

LARGEST_BYTES: Final = 2**31
"""Of a file, and of what is in it when it is compressed."""

_GZIP: Final = b"\x1f\x8b"


def read_bytes(path: Path) -> bytes:
    """Return a file's content, unzipped when it is gzip. Reads the file.

    Raises:
        NotFound: there is no such file.
        Invalid: it cannot be read, is larger than 2 GiB, or is damaged gzip.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!a}", fix="check the path") from None
    except (OSError, ValueError) as error:
        raise Invalid(
            f"the file {str(path)!a} cannot be read", (str(error),), fix="check the path and rights"
        ) from None
    return unzipped(data, path.name)


def unzipped(data: bytes, name: str) -> bytes:
    """Return the data, unzipped when it is gzip. Raises Invalid when it is damaged or too large."""
    if data.startswith(_GZIP):
        data = _gunzipped(data, name)
    if len(data) > LARGEST_BYTES:
        raise Invalid(f"{name} holds more than 2 GiB", fix="split it", code="too-large")
    return data


def _gunzipped(data: bytes, name: str) -> bytes:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = inflater.decompress(data, LARGEST_BYTES + 1)
    except zlib.error as error:
        raise _damaged(name, str(error)) from None
    if not inflater.eof and len(content) <= LARGEST_BYTES:
        raise _damaged(name, f"it ends after {len(data)} bytes, before the end of the archive")
    return content


def _damaged(name: str, why: str) -> Invalid:
    return Invalid(
        f"{name} is damaged gzip", (why,), fix="take another copy of it", code="damaged-file"
    )


def json_of(data: bytes, name: str) -> object:
    """Return what JSON data holds. Raises Invalid that says the line and column."""
    try:
        return json.loads(data, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        where = "it is nested too deep"
    except ValueError as error:  # not UTF-8, or a number of thousands of digits
        where = str(error)
    raise Invalid(f"{name} is not valid JSON", (where,), fix="correct it", code="invalid-json")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def zipped(data: bytes) -> bytes:
    """Return data as gzip, the same bytes for the same data."""
    return gzip.compress(data, compresslevel=6, mtime=0)

# SPDX-License-Identifier: Apache-2.0
"""Pools in files: read in whatever form they are, told by the content; written in a named one."""

import json
import os
import tempfile
from enum import StrEnum
from pathlib import Path

from billow.errors import Invalid
from billow.model.codec import pack, pool_document, pool_from_document, unpack
from billow.model.packed import MAGIC
from billow.model.pool import Pool
from billow.model.text import parse, render
from billow.sense.bytes_in import json_of, read_bytes, unzipped, zipped
from billow.sense.vmr import vmr_pool


class PoolForm(StrEnum):
    """The forms in which a pool can be written."""

    TEXT = "text"
    """For people."""
    JSON = "json"
    """For programs."""
    PACKED = "packed"
    """For keeping."""


def read_pool(path: Path) -> Pool:
    """Return the pool in a file: text, JSON, packed, or a VM-to-host mapping; each may be gzip.

    Raises:
        NotFound: there is no such file.
        Invalid: it is in no known form, or broken; the error says where.
    """
    return pool_of_bytes(read_bytes(path), path.name)


def pool_of_bytes(data: bytes, name: str) -> Pool:
    """Return the pool in data of any known form; `name` names it in errors. Raises Invalid."""
    data = unzipped(data, name)
    if data.startswith(MAGIC[:4]):
        return unpack(data)
    if data.lstrip()[:1] in (b"{", b"["):
        return _pool_of_document(json_of(data, name), name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{name} is no pool in a known form",
            (f"it is neither packed nor text: byte {error.start} is not UTF-8",),
            fix="give a pool as text, JSON, packed, or a VM-to-host mapping",
            code="unknown-form",
        ) from None
    return parse(text)


def write_pool(pool: Pool, path: Path, form: PoolForm | None = None) -> None:
    """Write a pool to a file, whole or not at all.

    Without a form the name decides: `.json`, `.packed`, otherwise text; `.gz` behind it is gzip.

    Raises:
        Invalid: the file cannot be written.
    """
    zip_it = path.suffix == ".gz"
    data = bytes_of_pool(pool, form or form_of(path.with_suffix("") if zip_it else path))
    try:
        _replace(path, zipped(data) if zip_it else data)
    except OSError as error:
        raise Invalid(
            f"the file {str(path)!a} cannot be written",
            (str(error),),
            fix="check the path and the rights",
        ) from None


def bytes_of_pool(pool: Pool, form: PoolForm) -> bytes:
    """Return a pool in a form."""
    match form:
        case PoolForm.PACKED:
            return pack(pool)
        case PoolForm.JSON:
            return json.dumps(pool_document(pool), allow_nan=False, indent=1).encode()
        case PoolForm.TEXT:
            return render(pool).encode()


def form_of(path: Path) -> PoolForm:
    """Return the form that a name asks for."""
    by_suffix = {".json": PoolForm.JSON, ".packed": PoolForm.PACKED}
    return by_suffix.get(path.suffix, PoolForm.TEXT)


def _pool_of_document(document: object, name: str) -> Pool:
    if isinstance(document, dict) and "cluster_list" in document:
        return vmr_pool(document, name)
    return pool_from_document(document)


def _replace(path: Path, data: bytes) -> None:
    """Write beside the file, then take its place: a reader sees the old or the new one, whole."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise

# SPDX-License-Identifier: Apache-2.0
"""The agent's papers: its key, its certificate, and whom it believes."""

import ssl
from pathlib import Path

from billow.agent.papers import AUTHORITY, CERTIFICATE, KEY, see


def as_client(state: Path) -> ssl.SSLContext:
    """Return how lines to controllers and to other agents prove each other.

    There is no check of a host name: who it is stands in its certificate, not in its address.
    Raises NotFound while the host is not enrolled.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _proving(context, state)


def as_server(state: Path) -> ssl.SSLContext:
    """Return how this agent answers another one. Raises NotFound while it is not enrolled."""
    return _proving(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), state)


def _proving(context: ssl.SSLContext, state: Path) -> ssl.SSLContext:
    see(state)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(state / CERTIFICATE, state / KEY)
    context.load_verify_locations(state / AUTHORITY)
    return context

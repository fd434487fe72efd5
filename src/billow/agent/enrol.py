# SPDX-License-Identifier: Apache-2.0
"""`billow agent enrol URL TOKEN`: a key that never leaves the host, and a certificate for it.

It runs once and ends, so it may use more than the standard library.
"""

import argparse
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from billow.agent.options import CONTROLLERS
from billow.agent.papers import AUTHORITY, CERTIFICATE, KEY
from billow.agent.talk import say
from billow.errors import Invalid, Refused, Unavailable
from billow.state_folder import default_state_dir

TIMEOUT_S: Final = 30.0
_MOST_PROBLEM: Final = 65_536


def enrol(arguments: Sequence[str]) -> int:
    """Enrol this host and return an exit code. Raises Invalid, Refused, Unavailable."""
    given = _parser().parse_args(arguments)
    host, state = given.host or socket.gethostname(), Path(given.state)
    key, request = _made(host)
    answer = _asked(given.url.rstrip("/"), given.token, {"host": host, "csr": request})
    _keep(state, key, answer)
    say(f"{host} is enrolled; its papers are in {state}")
    return 0


def _made(host: str) -> tuple[bytes, str]:
    """Return a new private key and a request for a certificate, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host[:64])])
    uri = x509.UniformResourceIdentifier(f"billow://host/{host}")
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, request.public_bytes(pem).decode()


def _asked(url: str, token: str, body: dict[str, str]) -> dict[str, Any]:
    """Return the control plane's answer."""
    if not url.startswith(("https://", "http://")):
        raise Invalid(f"{url!r} is no address of a control plane", fix="write https://HOST:PORT")
    request = urllib.request.Request(  # noqa: S310 (the scheme was looked at)
        f"{url}/v1/agents/enrol",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            document: dict[str, Any] = json.load(answer)
            return document
    except urllib.error.HTTPError as error:
        raise _refused(error.code, error.read(_MOST_PROBLEM)) from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"{url} does not answer: {error}", fix="look at URL") from error


def _refused(status: int, answer: bytes) -> Refused:
    """Return what a control plane answered instead of papers: its problem, in its words."""
    try:
        problem = json.loads(answer)
        details = tuple(map(str, problem["details"]))
        return Refused(str(problem["title"]), details, fix=str(problem["fix"]))
    except (ValueError, KeyError, TypeError):
        details = (answer[:200].decode(errors="replace"),)
        return Refused(
            f"what answered {status} is no control plane", details, fix="see that URL is right"
        )


def _keep(state: Path, key: bytes, answer: dict[str, Any]) -> None:
    """Write the papers, the key so that nobody else can read it and before the rest."""
    try:
        certificate, authority = str(answer["certificate"]), str(answer["ca"])
    except KeyError as missing:
        raise Refused(f"the control plane's answer has no {missing}") from missing
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(state / KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(key)
    (state / CERTIFICATE).write_text(certificate, encoding="ascii")
    (state / AUTHORITY).write_text(authority, encoding="ascii")
    controllers = "".join(f"{each}\n" for each in answer.get("controllers", ()))
    if controllers:
        (state / CONTROLLERS).write_text(controllers, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="billow agent enrol", description="Get this host its certificate."
    )
    parser.add_argument("url", help="the control plane, like https://cloud.example:8520")
    parser.add_argument("token", help="one that may enrol a host")
    parser.add_argument("--host", default="", help="name of this host; the kernel's by default")
    default = default_state_dir() / "agent"
    parser.add_argument("--state", default=default, help="folder for the papers")
    return parser

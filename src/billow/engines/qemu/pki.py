# SPDX-License-Identifier: Apache-2.0
"""What the hosts of a pool show each other when an instance moves, in the form that QEMU wants.

Their authority (`billow.act.authority`) signs for the hosts of one pool only, so whoever shows a
certificate of it is one of them. Nothing here is ever renewed by hand: `Papers.of` is asked before
each move, and issues anew what is near its end, no longer fits, or cannot be read. To change the
authority at once, remove the folder: the next move makes a new one.

    authority.pem       the key and the certificate that sign now, then what is trusted besides
    hosts/HOST.SERIAL/  the six files that QEMU wants, for both of its ends
    lock                held while something is issued
"""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from billow.act.authority import RENEWED, Authority, authority_in, pem, secret
from billow.act.durable import locked, make_folder, write

_TRUSTED, _CERTIFICATES, _KEYS = (
    "ca-cert.pem",
    ("server-cert.pem", "client-cert.pem"),
    ("server-key.pem", "client-key.pem"),
)
"""The names that QEMU looks for in a folder."""
_GROUP: Final = "dh-params.pem"
_FFDHE2048: Final = b"""-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
"""A group of RFC 7919. Without one, QEMU looks for a prime of its own, for seconds, each time."""
_DRAFT: Final = ".draft-"


@dataclass(frozen=True, slots=True)
class Papers:
    """The papers of the hosts of one pool.

    Attributes:
        folder: Where they are kept; only this user may enter it.
        pool: A word in the authority's name, for who reads a certificate.
    """

    folder: Path
    pool: str

    def of(self, host: str, address: str, now: float) -> Path:
        """Return the folder with a host's papers, which QEMU can read; issue them where needed.

        Args:
            host: Its name; a caller may insist on it.
            address: Its address in the pool's network.
            now: Seconds since the epoch.

        Raises:
            Unavailable: the folder cannot be written.
        """
        moment = datetime.fromtimestamp(now, UTC)
        make_folder(self.folder)
        make_folder(self._hosts)
        with locked(self.folder / "lock"):
            authority = authority_in(self.folder / "authority.pem", self.pool, moment)
            for folder in sorted(self._hosts.glob(f"{host}.*")):
                if _serve(folder, authority, host, address, moment):
                    return folder
            self._sweep(host, moment)
            return self._issue(authority, host, address, moment)

    @property
    def _hosts(self) -> Path:
        return self.folder / "hosts"

    def _issue(self, authority: Authority, host: str, address: str, moment: datetime) -> Path:
        """Make a host's papers; they are there whole, or not at all."""
        key = ec.generate_private_key(ec.SECP256R1())
        known_as = (x509.DNSName(host), x509.IPAddress(ip_address(address)))
        certificate = authority.certify(host, key.public_key(), known_as, moment)
        files = {_TRUSTED: authority.trusted(moment), _GROUP: _FFDHE2048}
        files |= dict.fromkeys(_CERTIFICATES, pem(certificate))
        files |= dict.fromkeys(_KEYS, secret(key))
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self._hosts))
        for name, content in files.items():
            write(draft / name, content, durable=False)
        return draft.rename(self._hosts / f"{host}.{certificate.serial_number:040x}")

    def _sweep(self, host: str, moment: datetime) -> None:
        """Remove papers that nobody can use any more, and what a dead controller drafted."""
        for folder in (*self._hosts.glob(f"{host}.*"), *self._hosts.glob(f"{_DRAFT}*")):
            end = _ends(folder)
            if end is None or end <= moment:
                shutil.rmtree(folder, ignore_errors=True)


def _serve(folder: Path, authority: Authority, host: str, address: str, moment: datetime) -> bool:
    """Return whether papers are whole, say what they must, and last long enough."""
    with contextlib.suppress(OSError, ValueError, InvalidSignature, x509.ExtensionNotFound):
        certificate, key = _read(folder, _CERTIFICATES), _read(folder, _KEYS)
        shown = x509.load_pem_x509_certificate(certificate)
        shown.verify_directly_issued_by(authority.certificate)
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            shown.not_valid_after_utc - moment > RENEWED
            and shown.not_valid_before_utc <= moment
            and names.get_values_for_type(x509.DNSName) == [host]
            and names.get_values_for_type(x509.IPAddress) == [ip_address(address)]
            and load_pem_private_key(key, password=None).public_key() == shown.public_key()
            and (folder / _TRUSTED).read_bytes() == authority.trusted(moment)
            and (folder / _GROUP).read_bytes() == _FFDHE2048
        )
    return False


def _read(folder: Path, names: Sequence[str]) -> bytes:
    """Return what both files of a kind hold. Raises OSError, or ValueError when they differ."""
    contents = {(folder / name).read_bytes() for name in names}
    if len(contents) > 1:
        raise ValueError(f"{names[0]} and {names[1]} differ")
    return contents.pop()


def _ends(folder: Path) -> datetime | None:
    with contextlib.suppress(OSError, ValueError):
        shown = x509.load_pem_x509_certificate((folder / _CERTIFICATES[0]).read_bytes())
        return shown.not_valid_after_utc
    return None

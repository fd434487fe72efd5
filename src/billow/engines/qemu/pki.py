# SPDX-License-Identifier: Apache-2.0
"""The pool's own certificate authority, and what its hosts show each other.

An authority signs for the hosts of one pool only, so whoever shows a certificate of it is one of
them. Nothing here is ever renewed by hand: `Papers.of` is asked before each move, and issues anew
what is near its end, no longer fits, or cannot be read. An authority near its end gets a successor;
what hosts trust is both, until the old one has ended. To change it at once (its key is known to
somebody), remove the folder: the next move makes a new one.

    authority.pem       the key and the certificate that sign now, then what is trusted besides
    hosts/HOST.SERIAL/  the six files that QEMU wants, for both of its ends
    lock                held while something is issued
"""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from billow.act.durable import locked, make_folder, write

HOST_LASTS: Final = timedelta(days=90)
AUTHORITY_LASTS: Final = timedelta(days=3650)
EARLY: Final = timedelta(hours=1)
"""A certificate counts from so long before it was made: clocks of hosts differ."""
_HOST_RENEWED: Final = HOST_LASTS / 3
"""A host gets a new certificate when the old one lasts no longer than this."""
_AUTHORITY_RENEWED: Final = 2 * HOST_LASTS
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
class _Authority:
    """Who signs: its key, its certificate, and the certificates of its predecessors."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    before: tuple[x509.Certificate, ...] = ()

    def trusted(self, moment: datetime) -> bytes:
        """Return what a host trusts; one that has ended would keep QEMU from reading any."""
        old = (each for each in self.before if each.not_valid_after_utc > moment)
        return b"".join(map(_pem, (self.certificate, *old)))


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
            authority = self._authority(moment)
            for folder in sorted(self._hosts.glob(f"{host}.*")):
                if _serve(folder, authority, host, address, moment):
                    return folder
            self._sweep(host, moment)
            return self._issue(authority, host, address, moment)

    @property
    def _hosts(self) -> Path:
        return self.folder / "hosts"

    def _authority(self, moment: datetime) -> _Authority:
        """Return who signs now; make the first one, or a successor, where it is time."""
        known = _read_authority(self.folder / "authority.pem")
        if known and known.certificate.not_valid_after_utc - moment > _AUTHORITY_RENEWED:
            return known
        fresh = _found(self.pool, moment, known)
        key = fresh.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write(self.folder / "authority.pem", key + fresh.trusted(moment))
        return fresh

    def _issue(self, authority: _Authority, host: str, address: str, moment: datetime) -> Path:
        """Make a host's papers; they are there whole, or not at all."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certify(authority, key, (host, address), moment)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files = {_TRUSTED: authority.trusted(moment), _GROUP: _FFDHE2048}
        files |= dict.fromkeys(_CERTIFICATES, _pem(certificate)) | dict.fromkeys(_KEYS, secret)
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


def _found(pool: str, moment: datetime, known: _Authority | None) -> _Authority:
    """Make an authority; it has a name of its own, so that none is taken for its predecessor."""
    key, serial = ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number()
    name = _named(f"Billow pool {pool} {serial % 2**32:08x}")
    usage = _usage(signs=True)
    certificate = (
        _begun(name, name, serial, key, (moment, AUTHORITY_LASTS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    before = (known.certificate, *known.before) if known else ()
    return _Authority(key, certificate, before)


def _certify(
    authority: _Authority,
    key: ec.EllipticCurvePrivateKey,
    names: tuple[str, str],
    moment: datetime,
) -> x509.Certificate:
    """Sign that a key is a host's, known by its name and its address."""
    host, address = names
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    known_as = [x509.DNSName(host), x509.IPAddress(ip_address(address))]
    issuer, public = authority.certificate.subject, authority.key.public_key()
    return (
        _begun(_named(host), issuer, x509.random_serial_number(), key, (moment, HOST_LASTS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName(known_as), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    serial: int,
    key: ec.EllipticCurvePrivateKey,
    span: tuple[datetime, timedelta],
) -> x509.CertificateBuilder:
    begin, lasts = span
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(serial)
        .public_key(key.public_key())
        .not_valid_before(begin - EARLY)
        .not_valid_after(begin + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    """Return what a key is for; QEMU wants key encipherment of a host's, whatever its kind."""
    return x509.KeyUsage(
        digital_signature=not signs,
        key_encipherment=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read_authority(path: Path) -> _Authority | None:
    """Return the authority in a file; None when there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        content = path.read_bytes()
        key = load_pem_private_key(content, password=None)
        first, *before = x509.load_pem_x509_certificates(content)
        if isinstance(key, ec.EllipticCurvePrivateKey) and first.public_key() == key.public_key():
            return _Authority(key, first, tuple(before))
    return None


def _serve(folder: Path, authority: _Authority, host: str, address: str, moment: datetime) -> bool:
    """Return whether papers are whole, say what they must, and last long enough."""
    with contextlib.suppress(OSError, ValueError, InvalidSignature, x509.ExtensionNotFound):
        certificate, key = _read(folder, _CERTIFICATES), _read(folder, _KEYS)
        shown = x509.load_pem_x509_certificate(certificate)
        shown.verify_directly_issued_by(authority.certificate)
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            shown.not_valid_after_utc - moment > _HOST_RENEWED
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


def _named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)

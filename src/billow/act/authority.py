# SPDX-License-Identifier: Apache-2.0
"""A pool's own certificate authority: who signs, for whom, and how long that counts.

An authority signs for one pool only, so whoever shows a certificate of it belongs to that pool.
One near its end gets a successor; what is trusted is both, until the old one has ended. To change
it at once (its key is known to somebody), remove its file: the next paper makes a new one.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from billow.act.durable import write

PAPER_LASTS: Final = timedelta(days=90)
RENEWED: Final = PAPER_LASTS / 3
"""A paper is renewed when it lasts no longer than this."""
AUTHORITY_LASTS: Final = timedelta(days=3650)
EARLY: Final = timedelta(hours=1)
"""A certificate counts from so long before it was made: clocks of hosts differ."""
_AUTHORITY_RENEWED: Final = 2 * PAPER_LASTS


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs: its key, its certificate, and the certificates of its predecessors."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    before: tuple[x509.Certificate, ...] = ()

    def trusted(self, moment: datetime) -> bytes:
        """Return what is trusted; one that has ended would keep QEMU from reading any."""
        old = (each for each in self.before if each.not_valid_after_utc > moment)
        return b"".join(map(pem, (self.certificate, *old)))

    def certify(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        known_as: Sequence[x509.GeneralName],
        moment: datetime,
    ) -> x509.Certificate:
        """Sign that a key is of who has this common name and is known so besides."""
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer, own = self.certificate.subject, self.key.public_key()
        serial, span = x509.random_serial_number(), (moment, PAPER_LASTS)
        return (
            _begun(_named(name), issuer, serial, key, span)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(x509.SubjectAlternativeName(known_as), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def authority_in(path: Path, pool: str, moment: datetime) -> Authority:
    """Return who signs now; make the first one, or a successor, where it is time.

    The file holds the key and the certificate that sign now, then what is trusted besides. Hold a
    lock meanwhile: two that make one at once make two.

    Args:
        path: Its file, in a folder that only this user may enter.
        pool: A word in the authority's name, for who reads a certificate.
        moment: Now.

    Raises:
        Unavailable: it cannot be written.
    """
    known = _read_authority(path)
    if known and known.certificate.not_valid_after_utc - moment > _AUTHORITY_RENEWED:
        return known
    fresh = _found(pool, moment, known)
    write(path, secret(fresh.key) + fresh.trusted(moment))
    return fresh


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as text."""
    return certificate.public_bytes(Encoding.PEM)


def secret(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as text; who has it, is it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _found(pool: str, moment: datetime, known: Authority | None) -> Authority:
    """Make an authority; it has a name of its own, so that none is taken for its predecessor."""
    key, serial = ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number()
    name = _named(f"Billow pool {pool} {serial % 2**32:08x}")
    usage = _usage(signs=True)
    certificate = (
        _begun(name, name, serial, key.public_key(), (moment, AUTHORITY_LASTS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    before = (known.certificate, *known.before) if known else ()
    return Authority(key, certificate, before)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    serial: int,
    key: ec.EllipticCurvePublicKey,
    span: tuple[datetime, timedelta],
) -> x509.CertificateBuilder:
    begin, lasts = span
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(serial)
        .public_key(key)
        .not_valid_before(begin - EARLY)
        .not_valid_after(begin + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
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


def _read_authority(path: Path) -> Authority | None:
    """Return the authority in a file; None when there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        content = path.read_bytes()
        key = load_pem_private_key(content, password=None)
        first, *before = x509.load_pem_x509_certificates(content)
        if isinstance(key, ec.EllipticCurvePrivateKey) and first.public_key() == key.public_key():
            return Authority(key, first, tuple(before))
    return None


def _named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

# SPDX-License-Identifier: Apache-2.0
"""The certificates of a lab: an authority of its own, and one certificate for each host.

Each host has the same files under the names by which libvirt's library, its daemon and QEMU look
for them. Made with a lab and gone with it; good for a week and for nothing else.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY = ("cacert.pem", "ca-cert.pem")
CERTIFICATES = ("servercert.pem", "clientcert.pem", "server-cert.pem", "client-cert.pem")
KEYS = ("serverkey.pem", "clientkey.pem", "server-key.pem", "client-key.pem")
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """Who signs for the hosts of one lab."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def kept_in(cls, folder: Path) -> "Authority":
        """Return the one that a folder keeps; make it the first time."""
        file = folder / "authority.pem"
        if not file.exists():
            made = cls.new()
            folder.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_bytes(_key_pem(made.key) + _pem(made.certificate))
        data = file.read_bytes()
        key = serialization.load_pem_private_key(data, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{file} holds no key of a lab's authority")
        return cls(key, x509.load_pem_x509_certificate(data))

    @classmethod
    def new(cls) -> "Authority":
        """Make one."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            **dict.fromkeys(
                (
                    *("digital_signature", "content_commitment", "key_encipherment"),
                    *("data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
                ),
                False,
            ),
            key_cert_sign=True,
            crl_sign=True,
        )
        builder = _builder("libvirt lab", "libvirt lab", key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(usage, True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    def equip(self, folder: Path, name: str, address: str) -> None:
        """Put a host's files into a folder."""
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.DNSName(name),
            x509.IPAddress(ipaddress.ip_address(address)),
        ]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(name, "libvirt lab", key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), False)
        certificate = builder.sign(self.key, hashes.SHA256())
        for each in AUTHORITY:
            (folder / each).write_bytes(_pem(self.certificate))
        for each in CERTIFICATES:
            (folder / each).write_bytes(_pem(certificate))
        for each in KEYS:
            (folder / each).write_bytes(_key_pem(key))


def _builder(name: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 7 * _DAY)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests of the agent: an authority, and papers of hosts and controllers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """Signs papers."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agents of a test")])
        self.certificate = (
            _begun(self.name, self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def papers(self, folder: Path, role: str, name: str, lasts: timedelta = _DAY) -> Path:
        """Write the key, the certificate and the authority of one party."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / "agent.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        signed = self.sign(key.public_key(), role, name, lasts)
        (folder / "agent.crt").write_bytes(signed)
        (folder / "ca.crt").write_bytes(self.pem())
        return folder

    def renewed(self, folder: Path, role: str, name: str) -> bytes:
        """Return a new certificate for the key in a folder."""
        old = x509.load_pem_x509_certificate((folder / "agent.crt").read_bytes())
        public = old.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return self.sign(public, role, name)

    def sign(
        self, public: ec.EllipticCurvePublicKey, role: str, name: str, lasts: timedelta = _DAY
    ) -> bytes:
        """Return the certificate of a party."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        uri = x509.UniformResourceIdentifier(f"billow://{role}/{name}")
        certificate = (
            _begun(subject, self.name, public, lasts)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def pem(self) -> bytes:
        """Return the authority's own certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    lasts: timedelta = _DAY,
) -> x509.CertificateBuilder:
    moment = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + lasts)
    )

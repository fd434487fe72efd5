# SPDX-License-Identifier: Apache-2.0
"""Papers of agents and of this controller: who may speak on the lines of high availability.

A person makes a token for one host; the host's agent shows it once, with a key of its own making,
and gets a certificate. Before that ends, the controller sends a new one for the same key over the
agent's line. A certificate that must not be believed any more is named in `revoked`.

    authority.pem           who signs (billow.act.authority)
    controllers/NAME/       a controller's papers: controller.crt, controller.key, ca.crt
    tokens/DIGEST           a token that was not used yet: its host, and when it ends
    agents/HOST.SERIAL.crt  what was signed, while it is good; .sent: the agent has not said that
                            it took it
    revoked                 serials, one a line
    lock                    held while any of these changes
"""

import contextlib
import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from billow.act.authority import RENEWED, Authority, authority_in, pem, secret
from billow.act.durable import load, locked, make_folder, save, write
from billow.errors import Bug, Denied, Invalid
from billow.ha.lines import CONTROLLER_URI, HOST_URI
from billow.ports import Clock

TOKEN_S: Final = 3600.0
"""A token is good for so long."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_MOST_REQUEST: Final = 16_384


@dataclass(frozen=True, slots=True)
class _Token:
    """A token that was not used yet."""

    host: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class Signed:
    """What an agent gets, as PEM.

    Attributes:
        ca: What it shall trust; may be two certificates.
        ends_at: When its certificate ends, seconds since the epoch.
    """

    certificate: str
    ca: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Where papers of agents are signed.

    Attributes:
        folder: Only this user may enter it; who has its authority's file can play any host.
        pool: A word in the authority's name.
        controller: This controller's name, as agents tell controllers apart.
    """

    folder: Path
    pool: str
    controller: str
    clock: Clock

    def papers(self) -> Path:
        """Return the folder with this controller's papers, good for a while. Raises Unavailable."""
        own = make_folder(make_folder(self.folder / "controllers") / self.controller)
        with self._held() as (authority, moment):
            write(own / "ca.crt", authority.trusted(moment))
            if not self._own_serve(own, authority, moment):
                key = ec.generate_private_key(ec.SECP256R1())
                names = self.controller, CONTROLLER_URI + self.controller
                signed = _signed(authority, names, key.public_key(), moment)
                write(own / "controller.key", secret(key))
                write(own / "controller.crt", pem(signed))
        return own

    def token(self, host: str) -> str:
        """Return a token with which the agent of one host can be enrolled, once. Raises Invalid."""
        _check_name(host)
        token = secrets.token_urlsafe(32)
        make_folder(self.folder)
        kept = make_folder(self.folder / "tokens") / _digest(token)
        save(kept, _Token(host, self.clock.now() + TOKEN_S))
        return token

    def enrol(self, token: str, host: str, request: str) -> Signed:
        """Sign for a host whose agent shows its token; the token is good for nothing then.

        Args:
            token: As `token` returned it.
            host: The agent's name for its host; empty for the token's.
            request: A certificate signing request, PEM; only its key counts.

        Raises:
            Denied: there is no such token, it has ended or was used, or it is another host's.
            Invalid: the request cannot be read, or shows no proof that the agent has the key.
        """
        public = _requested(request)
        with self._held() as (authority, moment):
            meant = self.meant(token)
            if host not in {"", meant}:
                raise _denied()
            (self.folder / "tokens" / _digest(token)).unlink()
            return self._sign(authority, meant, public, moment)

    def meant(self, token: str) -> str:
        """Return the host that a token enrols. Raises Denied when it enrols nobody."""
        known = load(_Token, self.folder / "tokens" / _digest(token))
        if known is None or known.ends_at < self.clock.now():
            raise _denied()
        return known.host

    def due(self) -> Mapping[str, Signed]:
        """Return new certificates, for the same keys, of hosts whose own last not long any more."""
        with self._held() as (authority, moment):
            newest = self._newest()
            ending = {
                host: shown
                for host, shown in newest.items()
                if moment < shown.not_valid_after_utc <= moment + RENEWED
            }
            return {host: self._again(authority, host, ending[host], moment) for host in ending}

    def taken(self, host: str, signed: Signed) -> None:
        """Know that a host's agent has taken its new certificate."""
        serial = x509.load_pem_x509_certificate(signed.certificate.encode()).serial_number
        sent = self._agents / f"{host}.{serial:040x}.sent"
        with self._held():
            sent.rename(sent.with_suffix(".crt"))

    def revoke(self, host: str) -> frozenset[int]:
        """Believe nothing more that was signed for a host so far; return all that is revoked."""
        with self._held():
            signed = [path for path in self._agents.iterdir() if _host_of(path) == host]
            known = self.revoked() | {int(path.stem.rpartition(".")[2], 16) for path in signed}
            text = "".join(f"{serial:040x}\n" for serial in sorted(known))
            write(self.folder / "revoked", text.encode())
            for path in signed:
                path.unlink()
        return known

    def revoked(self) -> frozenset[int]:
        """Return the serials of certificates that are believed no more."""
        with contextlib.suppress(FileNotFoundError):
            text = (self.folder / "revoked").read_text(encoding="ascii")
            return frozenset(int(line, 16) for line in text.split())
        return frozenset()

    def hosts(self) -> frozenset[str]:
        """Return the hosts whose agents were enrolled: they are missed when they are not heard."""
        return frozenset(map(_host_of, self._agents.glob("*.crt")))

    @property
    def _agents(self) -> Path:
        return make_folder(self.folder / "agents")

    def _newest(self) -> Mapping[str, x509.Certificate]:
        """Return per host the certificate that lasts longest; forget those that have ended."""
        newest: dict[str, x509.Certificate] = {}
        moment = datetime.fromtimestamp(self.clock.now(), UTC)
        for path in sorted(self._agents.glob("*.crt")):
            host, shown = _host_of(path), x509.load_pem_x509_certificate(path.read_bytes())
            known = newest.get(host)
            if known is None or shown.not_valid_after_utc > known.not_valid_after_utc:
                newest[host] = shown
            if shown.not_valid_after_utc < moment and known is not None:
                path.unlink()
        return newest

    @contextlib.contextmanager
    def _held(self) -> Iterator[tuple[Authority, datetime]]:
        """Hold the folder; yield who signs, and now."""
        moment = datetime.fromtimestamp(self.clock.now(), UTC)
        make_folder(self.folder)
        with locked(self.folder / "lock"):
            yield authority_in(self.folder / "authority.pem", self.pool, moment), moment

    def _again(
        self, authority: Authority, host: str, old: x509.Certificate, moment: datetime
    ) -> Signed:
        """Sign once more for a key; what was sent before and not taken is sent again."""
        for path in self._agents.glob(f"{host}.*.sent"):
            sent = x509.load_pem_x509_certificate(path.read_bytes())
            if _host_of(path) == host and sent.not_valid_after_utc > moment + RENEWED:
                return _told(sent, authority, moment)
        return self._sign(authority, host, _key_of(old), moment, "sent")

    def _sign(
        self,
        authority: Authority,
        host: str,
        public: ec.EllipticCurvePublicKey,
        moment: datetime,
        kind: str = "crt",
    ) -> Signed:
        """Sign, and know of it before anybody has it: what nobody knows of cannot be revoked."""
        signed = _signed(authority, (host, HOST_URI + host), public, moment)
        write(self._agents / f"{host}.{signed.serial_number:040x}.{kind}", pem(signed))
        return _told(signed, authority, moment)

    def _own_serve(self, own: Path, authority: Authority, moment: datetime) -> bool:
        """Return whether this controller's papers are whole, and last long enough."""
        with contextlib.suppress(OSError, ValueError, InvalidSignature, TypeError):
            shown = x509.load_pem_x509_certificate((own / "controller.crt").read_bytes())
            shown.verify_directly_issued_by(authority.certificate)
            uri = f"{CONTROLLER_URI}{self.controller}"
            names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            return (
                shown.not_valid_after_utc - moment > RENEWED
                and names.get_values_for_type(x509.UniformResourceIdentifier) == [uri]
                and load_pem_private_key((own / "controller.key").read_bytes(), None).public_key()
                == shown.public_key()
            )
        return False


def _signed(
    authority: Authority,
    names: tuple[str, str],
    public: ec.EllipticCurvePublicKey,
    moment: datetime,
) -> x509.Certificate:
    name, uri = names
    _check_name(name)
    return authority.certify(name, public, (x509.UniformResourceIdentifier(uri),), moment)


def _denied() -> Denied:
    return Denied(
        "the token enrols nobody",
        fix="make another with `billow host enrol HOST`: it is good once, for an hour",
        code="bad-enrolment-token",
    )


def _told(signed: x509.Certificate, authority: Authority, moment: datetime) -> Signed:
    ends_at = signed.not_valid_after_utc.timestamp()
    return Signed(pem(signed).decode(), authority.trusted(moment).decode(), ends_at)


def _host_of(path: Path) -> str:
    """Return the host of `HOST.SERIAL.crt`; its name may have dots."""
    return path.name.rsplit(".", 2)[0]


def _key_of(shown: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = shown.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Bug("a certificate of ours is for a key that we do not sign for")
    return key


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} cannot stand in a certificate",
            fix="letters, digits, dots, dashes and underscores, 63 at most",
            code="bad-name",
        )


def _requested(request: str) -> ec.EllipticCurvePublicKey:
    """Return the key that a request is for, proved by its own signature. Raises Invalid."""
    with contextlib.suppress(ValueError, InvalidSignature):
        if len(request) <= _MOST_REQUEST:
            asked = x509.load_pem_x509_csr(request.encode())
            public = asked.public_key()
            if asked.is_signature_valid and isinstance(public, ec.EllipticCurvePublicKey):
                return public
    raise Invalid(
        "the certificate request cannot be used",
        fix="let `billow agent enrol` make it: PEM, a key on an elliptic curve",
        code="bad-request",
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

# SPDX-License-Identifier: Apache-2.0
"""One request to a cloud and its answer: the only file that knows openstacksdk.

It authenticates, finds endpoints and their microversions, and reuses one token. It neither judges
an answer nor tries again; that is `cloud`'s. openstacksdk is imported when a cloud is opened.
"""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol

from billow.errors import Denied, Invalid, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from openstack.config.cloud_region import CloudRegion

CONNECTS_WITHIN_S: Final = 5.0
ANSWERS_WITHIN_S: Final = 60.0
_MAJORS: Final = {
    "baremetal": "1",
    "block-storage": "3",
    "compute": "2",
    "identity": "3",
    "image": "2",
    "network": "2",
}
"""By service, the major version whose paths we speak; others have one only."""

Version = tuple[int, int]
"""A microversion: (2, 87)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of an API."""

    method: str
    service: str
    path: str
    body: Mapping[str, Any] | None = None
    microversion: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an API answered; `body` is not decoded yet."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Versions:
    """The microversions that a service speaks; both (0, 0) where it has none."""

    least: Version = (0, 0)
    most: Version = (0, 0)


class Transport(Protocol):
    """Who carries requests. Blocks; called from several threads at once."""

    @property
    def name(self) -> str:
        """What people call the cloud."""

    def send(self, request: Request) -> Answer:
        """Carry one request; any HTTP status is an answer.

        Raises:
            Unavailable: no answer came.
            Unauthenticated: the credentials are not taken.
        """

    def versions(self, service: str) -> Versions | None:
        """Return the microversions of a service; None where the cloud has no such service.

        Raises as `send`.
        """

    def close(self) -> None:
        """Let go of connections."""


class SdkTransport:
    """Requests through keystoneauth, as openstacksdk's configuration says."""

    def __init__(self, region: "CloudRegion", calls_at_once: int) -> None:
        self._region = region
        self._session = region.get_session()
        self._adapters: dict[str, Adapter] = {}
        self._faults = _faults()
        _widen(self._session.session, calls_at_once)

    @property
    def name(self) -> str:
        """What people call the cloud: its name in clouds.yaml and the region."""
        return str(self._region.full_name)

    def send(self, request: Request) -> Answer:
        """Carry one request. Raises as `Transport.send`."""
        body = None if request.body is None else json.dumps(request.body).encode()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            came = self._adapter(request.service).request(
                request.path,
                request.method,
                microversion=request.microversion or None,
                headers=headers,
                data=body,
                raise_exc=False,
                timeout=(CONNECTS_WITHIN_S, ANSWERS_WITHIN_S),
            )
        except (self._faults.ClientException, OSError) as error:
            raise self._told(error, request.service) from error
        return Answer(came.status_code, came.content, came.headers)

    def versions(self, service: str) -> Versions | None:
        """Return the microversions of a service. Raises as `Transport.versions`."""
        try:
            data = self._adapter(service).get_endpoint_data()
        except (self._faults.EndpointNotFound, self._faults.DiscoveryFailure):
            return None
        except (self._faults.ClientException, OSError) as error:
            raise self._told(error, service) from error
        if data is None:
            return None
        return Versions(_version(data.min_microversion), _version(data.max_microversion))

    def close(self) -> None:
        """Let go of connections; the token ends by itself."""
        self._session.session.close()

    def _adapter(self, service: str) -> "Adapter":
        if service not in self._adapters:
            made = importlib.import_module("keystoneauth1.adapter").Adapter
            region, major = self._region, _MAJORS.get(service)
            self._adapters[service] = made(
                session=self._session,
                service_type=region.get_service_type(service),
                service_name=region.get_service_name(service),
                interface=region.get_interface(service),
                region_name=region.get_region_name(service),
                endpoint_override=region.get_endpoint(service),
                min_version=major,
                max_version=major and f"{major}.latest",
            )
        return self._adapters[service]

    def _told(self, error: Exception, service: str) -> Exception:
        """Return an error of Billow's for one of keystoneauth's."""
        text, faults = " ".join(str(error).split())[:500], self._faults
        if isinstance(error, faults.Unauthorized):
            return Unauthenticated(
                f"the cloud {self.name} does not take these credentials",
                (text,),
                "look at the user, password and project in clouds.yaml",
                code="openstack-401",
            )
        if isinstance(error, faults.Forbidden):
            return Denied(f"{service} of {self.name} forbids this", (text,), code="openstack-403")
        if isinstance(error, faults.MissingAuthPlugin | faults.MissingRequiredOptions):
            return Invalid(f"the credentials of {self.name} are not complete", (text,), _FIX)
        return Unavailable(
            f"{service} of the cloud {self.name} does not answer",
            (text,),
            "see whether its API runs and can be reached from here",
            code="openstack-no-answer",
        )


_FIX: Final = "name a cloud of clouds.yaml with BILLOW_CLOUD, or set OS_AUTH_URL and its like"


def open_transport(cloud: str, calls_at_once: int) -> SdkTransport:
    """Read clouds.yaml or the environment; nothing is asked of the cloud yet.

    Raises:
        Invalid: openstacksdk is not installed, or the cloud is not described.
    """
    try:
        config = importlib.import_module("openstack.config")
        faults = importlib.import_module("openstack.exceptions")
    except ImportError as error:
        raise Invalid(
            "the engine `openstack` needs openstacksdk",
            (str(error),),
            "pip install 'billow[openstack]'",
            code="missing-extra",
        ) from error
    try:
        region = config.OpenStackConfig(app_name="billow").get_one(cloud=cloud or None)
        return SdkTransport(region, calls_at_once)
    except (faults.SDKException, _faults().ClientException, OSError, ValueError) as error:
        named = f"the cloud {cloud}" if cloud else "the cloud in the environment"
        raise Invalid(f"{named} is not described well enough", (str(error),), _FIX) from error


def _faults() -> ModuleType:
    return importlib.import_module("keystoneauth1.exceptions")


def _version(found: tuple[float, ...] | None) -> Version:
    return (int(found[0]), int(found[1])) if found and len(found) > 1 else (0, 0)


def _widen(session: Any, calls_at_once: int) -> None:  # noqa: ANN401  # requests has no types
    """Let a session keep one connection for each call at once; the default is ten."""
    for adapter in session.adapters.values():
        adapter.init_poolmanager(10, calls_at_once, block=False)

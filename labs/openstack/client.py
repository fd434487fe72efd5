# SPDX-License-Identifier: Apache-2.0
"""A plain client of the lab's APIs, apart from Billow's, so that the lab can judge it."""

import time
from typing import Any, Final

import httpx2
from labs.openstack.places import LabError, Places

MICROVERSION: Final = {
    "baremetal": "1.81",
    "block-storage": "3.70",
    "compute": "2.87",
    "placement": "1.39",
}
_PREFIX: Final = {
    "baremetal": "/v1",
    "block-storage": "/v3",
    "compute": "/v2.1",
    "identity": "/v3",
    "image": "/v2",
    "metric": "/v1",
    "network": "/v2.0",
}
_AGENT: Final = "billow-lab"


class Client:
    """The lab's administrator; safe to use from several threads."""

    def __init__(self, places: Places) -> None:
        self._places = places
        limits = httpx2.Limits(max_connections=32, max_keepalive_connections=0)
        self._http = httpx2.Client(timeout=180.0, limits=limits, headers={"User-Agent": _AGENT})
        self._token = ""
        self.project_id = ""

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def log_in(self) -> str:
        """Return a new token of the administrator. Raises LabError."""
        user = {"name": "admin", "domain": {"id": "default"}, "password": self._places.password}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        answer = self._http.post(
            self._places.url("identity", "/v3/auth/tokens"),
            json={"auth": {"identity": identity, "scope": scope}},
        )
        if answer.status_code != 201:
            raise LabError(f"no token: {answer.status_code} {answer.text[:300]}")
        self._token = answer.headers["X-Subject-Token"]
        self.project_id = answer.json()["token"]["project"]["id"]
        return self._token

    def ask(self, method: str, service: str, path: str, body: object = None) -> dict[str, Any]:
        """Carry a call out; return what it says. Raises LabError.

        A token that is refused is replaced once.
        """
        if not self._token:
            self.log_in()
        answer = self._call(method, service, path, body)
        if answer.status_code == 401:
            self.log_in()
            answer = self._call(method, service, path, body)
        if answer.status_code >= 400:
            raise LabError(f"{method} {path}: {answer.status_code} {answer.text[:400]}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def get(self, service: str, path: str) -> dict[str, Any]:
        """Read something."""
        return self.ask("GET", service, path)

    def raw(self, method: str, url: str, headers: dict[str, str]) -> int:
        """Carry a call out with headers of one's own; return the status of the answer."""
        return self._http.request(method, url, headers=headers).status_code

    def send(self, service: str, path: str, data: bytes) -> None:
        """Upload bytes."""
        headers = self._headers(service) | {"Content-Type": "application/octet-stream"}
        url = self._places.url(service, _PREFIX[service] + path)
        answer = self._http.put(url, content=data, headers=headers)
        if answer.status_code >= 400:
            raise LabError(f"PUT {path}: {answer.status_code} {answer.text[:400]}")

    def patient(self, service: str, path: str, patience_s: float = 240.0) -> dict[str, Any]:
        """Read something from a service that is just starting. Raises LabError."""
        end = time.monotonic() + patience_s
        while True:
            try:
                return self.get(service, path)
            except (LabError, httpx2.HTTPError) as error:
                if time.monotonic() > end:
                    raise LabError(f"{service} does not answer: {error}") from None
                time.sleep(0.3)

    def _call(self, method: str, service: str, path: str, body: object) -> httpx2.Response:
        url = self._places.url(service, _PREFIX.get(service, "") + path)
        return self._http.request(method, url, json=body, headers=self._headers(service))

    def _headers(self, service: str) -> dict[str, str]:
        headers = {"X-Auth-Token": self._token}
        if service in MICROVERSION:
            name = "volume" if service == "block-storage" else service
            headers["OpenStack-API-Version"] = f"{name} {MICROVERSION[service]}"
        if service == "baremetal":
            headers["X-OpenStack-Ironic-API-Version"] = MICROVERSION[service]
        return headers

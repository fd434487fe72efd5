# SPDX-License-Identifier: Apache-2.0
"""An emulated controller that speaks Redfish: sushy-tools', with sessions, ETags and faults."""

import base64
import hashlib
import io
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from labs.ha.bmc.machine import Machine
from sushy_tools.emulator import main
from sushy_tools.emulator.resources.systems.base import AbstractSystemsDriver
from werkzeug.serving import make_server

Given: TypeAlias = Any
"""What a library without types hands over."""
_ROOT = "/redfish/v1"
_SYSTEMS = "/redfish/v1/Systems/"
_SESSIONS = "/redfish/v1/SessionService/Sessions"
_POLICIES = {"AlwaysOff": "always-off", "LastState": "previous", "AlwaysOn": "always-on"}
_BOOT = {"setup": "BiosSetup", "default": "None"}
_Start = Callable[[str, list[tuple[str, str]]], Any]


class _Driver(AbstractSystemsDriver):  # type: ignore[misc]  # the library has no types
    """sushy-tools' view of the one machine."""

    machine: Machine

    @classmethod
    def initialize(cls, config: Given, logger: Given) -> type["_Driver"]:  # noqa: ARG003
        return cls

    @property
    def driver(self) -> str:
        return "<billow>"

    @property
    def systems(self) -> list[str]:
        return [self.machine.uuid]

    def uuid(self, identity: str) -> str:  # noqa: ARG002
        return self.machine.shown_uuid

    def name(self, identity: str) -> str:  # noqa: ARG002
        return "system"

    def get_power_state(self, identity: str) -> str:  # noqa: ARG002
        return self.machine.shown().capitalize()

    def set_power_state(self, identity: str, state: str) -> None:  # noqa: ARG002
        self.machine.order("on" if "On" in state else "off")

    def get_boot_device(self, identity: str) -> str:  # noqa: ARG002
        return _BOOT.get(self.machine.boot, self.machine.boot)

    def set_boot_device(self, identity: str, boot_source: str) -> None:  # noqa: ARG002
        words = {shown: word for word, shown in _BOOT.items()}
        self.machine.set_up(boot=words.get(boot_source, boot_source))


class _Front:
    """Who may ask, and what is wrong today: in front of sushy-tools' application."""

    def __init__(self, app: Given, machine: Machine, user: str, password: str) -> None:
        self._app, self._machine = app, machine
        self._user, self._password = user, password
        self._tokens: dict[str, float] = {}
        self._busy: list[float] = []
        self._lock = threading.Lock()

    def __call__(self, env: dict[str, Any], start: _Start) -> Iterable[bytes]:
        began = time.time()
        with self._lock:
            self._busy.append(began)
            busy = sum(each >= self._machine.befell_at for each in self._busy)
            crowded = 0 < self._machine.faults.sessions < busy
        try:
            time.sleep(self._machine.faults.slow_s)
            while self._machine.mute:
                time.sleep(0.1)
            if crowded:
                return _plain(start, "503 Service Unavailable", "no session left")
            return self._let_in(env, start)
        finally:
            with self._lock:
                self._busy.remove(began)

    def _let_in(self, env: dict[str, Any], start: _Start) -> Iterable[bytes]:
        path, method = env["PATH_INFO"].rstrip("/"), env["REQUEST_METHOD"]
        if path == _ROOT:
            found: Iterable[bytes] = self._app(env, start)
            return found
        if path.startswith(_SESSIONS):
            return self._session(env, start, method, path)
        basic = f"{self._user}:{self._password}".encode()
        given = env.get("HTTP_AUTHORIZATION", "")
        right = given == "Basic " + base64.b64encode(basic).decode()
        if not (right and self._machine.faults.basic) and (
            env.get("HTTP_X_AUTH_TOKEN") not in self._tokens
        ):
            return _plain(start, "401 Unauthorized", "who asks?")
        return self._strike(env, start, method, path)

    def _session(
        self, env: dict[str, Any], start: _Start, method: str, path: str
    ) -> Iterable[bytes]:
        if method == "DELETE":
            self._tokens.pop(path.rpartition("/")[2], None)
            return _plain(start, "204 No Content", "")
        body = _body(env)
        if (body.get("UserName"), body.get("Password")) != (self._user, self._password):
            return _plain(start, "401 Unauthorized", "who asks?")
        held = sum(each >= self._machine.befell_at for each in self._tokens.values())
        if 0 < self._machine.faults.sessions <= held:
            return _plain(start, "503 Service Unavailable", "no session left")
        token = secrets.token_hex(8)
        self._tokens[token] = time.time()
        headers = [("X-Auth-Token", token), ("Location", f"{_SESSIONS}/{token}")]
        return _plain(start, "201 Created", "", headers)

    def _strike(
        self, env: dict[str, Any], start: _Start, method: str, path: str
    ) -> Iterable[bytes]:
        faults, machine = self._machine.faults, self._machine
        if path.endswith("ComputerSystem.Reset"):
            body = _body(env)
            off = "Off" in str(body.get("ResetType")) or "Shutdown" in str(body.get("ResetType"))
            if faults.forbids:
                return _plain(start, "403 Forbidden", "insufficient privilege")
            if faults.refuses_off and off and machine.power == "off":
                machine.order("off")
                return _plain(start, "409 Conflict", "the system is off already")
        if method == "PATCH" and path.startswith(_SYSTEMS):
            return self._patch(env, start)
        if method == "GET" and path.startswith(_SYSTEMS) and path.count("/") == 4:
            return self._system(env, start)
        found: Iterable[bytes] = self._app(env, start)
        return found

    def _system(self, env: dict[str, Any], start: _Start) -> Iterable[bytes]:
        """Show the system with what sushy-tools leaves out."""
        heads: list[tuple[str, list[tuple[str, str]]]] = []
        text = b"".join(self._app(env, lambda status, headers, *_: heads.append((status, headers))))
        system = json.loads(text)
        system["SerialNumber"] = "SN-" + self._machine.shown_uuid[:8]
        if self._machine.faults.bars:
            system["PowerRestorePolicy"] = {w: s for s, w in _POLICIES.items()}[
                self._machine.restore
            ]
            system["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"] += [
                "BiosSetup",
                "None",
            ]
        body = json.dumps(system).encode()
        kind = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start(heads[0][0], [*kind, ("ETag", self._etag())])
        return [body]

    def _patch(self, env: dict[str, Any], start: _Start) -> Iterable[bytes]:
        if not self._machine.faults.bars:
            return _plain(start, "405 Method Not Allowed", "nothing can be set")
        if env.get("HTTP_IF_MATCH") != self._etag():
            return _plain(start, "412 Precondition Failed", "it was changed meanwhile")
        body = _body(env)
        if "PowerRestorePolicy" in body:
            self._machine.set_up(restore=_POLICIES[body["PowerRestorePolicy"]])
            return _plain(start, "204 No Content", "")
        found: Iterable[bytes] = self._app(env, start)
        return found

    def _etag(self) -> str:
        state = f"{self._machine.power} {self._machine.boot} {self._machine.restore}"
        return f'"{hashlib.sha256(state.encode()).hexdigest()[:16]}"'


def _body(env: dict[str, Any]) -> dict[str, Any]:
    """Read a request's body, and leave it there for who comes next."""
    raw = env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0))
    env["wsgi.input"] = io.BytesIO(raw)
    try:
        found = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _plain(
    start: _Start, status: str, text: str, headers: list[tuple[str, str]] | None = None
) -> Iterable[bytes]:
    body = json.dumps({"error": {"message": text}}).encode() if text else b""
    kind = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start(status, [*kind, *(headers or [])])
    return [body]


def serve_redfish(
    machine: Machine,
    user: str,
    password: str,
    place: tuple[str, int],
    tls: tuple[str, str] | None = None,
) -> None:
    """Answer for ever."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    _Driver.machine = machine
    main.fakedriver.FakeDriver = _Driver
    main.app.configure(extra_config={"SUSHY_EMULATOR_FAKE_DRIVER": True})
    front = _Front(main.app.wsgi_app, machine, user, password)
    server = make_server(place[0], place[1], front, threaded=True, ssl_context=tls)
    server.serve_forever()

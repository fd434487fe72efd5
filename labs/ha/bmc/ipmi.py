# SPDX-License-Identifier: Apache-2.0
"""An emulated controller that speaks IPMI 2.0 (RMCP+): pyghmi's, with faults."""

import threading
import time
from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

from labs.ha.bmc.machine import Machine
from pyghmi.ipmi.bmc import Bmc
from pyghmi.ipmi.private.serversession import ServerSession

Given: TypeAlias = Any
"""What a library without types hands over."""
_OPEN_SESSION = 16
_CHASSIS, _APP = 0, 6
_CONTROL, _POLICY, _BOOT = 2, 6, 8
_BAD_STATE, _UNKNOWN, _DENIED = 0xD5, 0xC1, 0xD4
_POLICIES = ("always-off", "previous", "always-on")
_IDLE_S = 60.0


class _Session(ServerSession):  # type: ignore[misc]  # the library has no types
    """A session that its controller knows of until it is closed."""

    origin: "_Session | None" = None

    def answering(self) -> "_Session":
        """Return it as it is now: later requests do not change whom this answer is for."""
        view = object.__new__(_Session)
        view.__dict__.update(self.__dict__)
        view.origin = self
        return view

    def send_ipmi_response(self, data: Sequence[int] = (), code: int = 0) -> None:
        origin = self.origin or self
        with self.bmc.sending:
            self.sequencenumber = origin.sequencenumber
            self._send_ipmi_net_payload(data=data, code=code)
            origin.sequencenumber = self.sequencenumber

    def close_server_session(self) -> None:
        self.bmc.sessions.pop(tuple(self.sockaddr), None)


class _Full(ServerSession):  # type: ignore[misc]
    """The refusal of a session: insufficient resources."""

    def create_open_session_response(self, request: Given) -> bytearray:
        return bytearray([request[0], 1, 0, 0]) + bytearray(request[4:8])


class IpmiServer(Bmc):  # type: ignore[misc]
    """One controller of one machine."""

    def __init__(self, machine: Machine, user: str, password: str, place: tuple[str, int]) -> None:
        super().__init__({user: password}, port=place[1], address=place[0])
        self.uuid = UUID(machine.uuid)
        self.sessions: dict[tuple[object, ...], float] = {}
        self.sending = threading.Lock()
        self._machine = machine

    def sessionless_data(self, data: bytes, sockaddr: Given) -> None:
        """Open a session, as long as there is room for one."""
        if self._machine.mute or len(data) < 22:
            return
        if not (data[4] == _APP and data[5] == _OPEN_SESSION):
            super().sessionless_data(data, sockaddr)
            return
        now, limit = time.time(), self._machine.faults.sessions
        oldest = max(now - _IDLE_S, self._machine.befell_at)
        self.sessions = {key: at for key, at in self.sessions.items() if at > oldest}
        full = limit and len(self.sessions.keys() - {tuple(sockaddr)}) >= limit
        kind = _Full if full else _Session
        kind(self.authdata, None, sockaddr, self.serversocket, data[16:], self.uuid, bmc=self)
        if kind is _Session:
            self.sessions[tuple(sockaddr)] = now

    def handle_raw_request(self, request: Given, session: Given) -> None:
        """Answer when it is time: a slow answer holds up nobody else."""
        asked = (request, session.answering(), time.time())
        threading.Thread(target=self._answer, args=asked, daemon=True).start()

    def _answer(self, request: Given, session: Given, came_at: float) -> None:
        faults = self._machine.faults
        time.sleep(faults.slow_s)
        if self._machine.mute or came_at < self._machine.befell_at:
            return
        what = (request["netfn"], request["command"])
        if what in {(_CHASSIS, _POLICY), (_CHASSIS, _BOOT)} and not faults.bars:
            session.send_ipmi_response(code=_UNKNOWN)
        elif what == (_CHASSIS, _POLICY):
            self._machine.set_up(restore=_POLICIES[request["data"][0] & 3])
            session.send_ipmi_response(data=[7])
        elif what == (_CHASSIS, _CONTROL) and faults.forbids:
            session.send_ipmi_response(code=_DENIED)
        else:
            super().handle_raw_request(request, session)

    def get_system_guid(self) -> UUID:
        return UUID(self._machine.shown_uuid)

    def get_power_state(self) -> str:
        return self._machine.shown()

    def get_chassis_status(self, session: Given) -> None:
        on = self._machine.shown() == "on"
        policy = _POLICIES.index(self._machine.restore)
        session.send_ipmi_response(data=[policy << 5 | int(on), 0, 0])

    def power_off(self) -> int | None:
        if self._machine.faults.refuses_off and self._machine.power == "off":
            self._machine.order("off")
            return _BAD_STATE
        self._machine.order("off")
        return None

    def power_shutdown(self) -> int | None:
        return self.power_off()

    def power_on(self) -> None:
        self._machine.order("on")

    def get_boot_device(self) -> str:
        return self._machine.boot

    def set_boot_device(self, bootdevice: str) -> None:
        self._machine.set_up(boot=bootdevice)


def serve_ipmi(machine: Machine, user: str, password: str, place: tuple[str, int]) -> None:
    """Answer for ever."""
    server = IpmiServer(machine, user, password, place)
    server.listen(timeout=1)

# SPDX-License-Identifier: Apache-2.0
"""What the double answers as Ironic: as 39.0.0 was read and seen to do in the lab.

An order answers at once; then a conductor locks the machine, asks its controller, and gives up with
a text in `last_error`, or brings it to the power that was ordered.
"""

from tests.engines.openstack.memory import (
    DRIVER,
    STEP_S,
    Cloud,
    Fault,
    Machine,
    Script,
    Service,
    id_of,
)
from tests.engines.openstack.room import Body, Call, Handler

ON, OFF = "power on", "power off"


def machine(cloud: Cloud, name: str, **more: str) -> Machine:
    """Enroll a machine that is on, known by a serial number of its own."""
    uuid = f"00000000-0000-4000-8000-{len(cloud.machines) + 1:012d}"
    made = Machine(name, uuid, {"serial_number": f"serial-{name}", **more})
    cloud.machines[name] = made
    cloud.services.setdefault(DRIVER, Service(id_of(f"service {DRIVER}"), DRIVER))
    return made


def turning(found: Machine, target: str) -> Script:
    """Work as a conductor does."""
    found.locked_by = "conductor"
    yield found.slow_s
    if found.unreached:
        found.error = f"Failed to change power state to '{target}': no answer"
    elif found.on is (target == ON):
        found.power, found.error = target, None
    else:
        found.target = target
        if "failed" not in found.state:
            found.error = None
        yield STEP_S
        while found.stuck:
            yield STEP_S
        if found.deaf:
            found.error = f"Failed to change power state to '{target}' by '{target}': timed out"
        else:
            found.on, found.power = target == ON, target
        found.target = None
    found.locked_by = None


def _all(cloud: Cloud, call: Call) -> Body:
    return {"nodes": [_shown(each) for each in cloud.machines.values()]}


def _one(cloud: Cloud, call: Call) -> Body:
    return _shown(_found(cloud, call))


def _inventory(cloud: Cloud, call: Call) -> Body:
    found = _found(cloud, call)
    if not found.inventory:
        raise Fault(404, f"Node {found.uuid} has no inventory")
    return {"inventory": {"system_vendor": found.inventory}, "plugin_data": {}}


def _power(cloud: Cloud, call: Call) -> Body:
    found = _found(cloud, call)
    if found.locked_by:
        raise Fault(409, f"Node {found.uuid} is locked by host {found.locked_by}")
    if found.state == "cleaning":
        raise Fault(400, "The requested action can not be performed while it is cleaning")
    found.orders.append(call.body["target"])
    cloud.begin(turning(found, call.body["target"]))
    return {}


def _found(cloud: Cloud, call: Call) -> Machine:
    for each in cloud.machines.values():
        if each.uuid == call.words[0]:
            if each.silent:
                raise Fault(503, "Service Unavailable")
            return each
    raise Fault(404, f"Node {call.words[0]} could not be found.")


def _shown(each: Machine) -> Body:
    return {
        "uuid": each.uuid,
        "name": each.name,
        "power_state": each.power,
        "target_power_state": each.target,
        "last_error": each.error,
        "reservation": each.locked_by,
        "provision_state": each.state,
        "maintenance": bool(each.maintenance),
        "maintenance_reason": each.maintenance or None,
        "fault": each.fault,
        "instance_uuid": each.instance,
        "resource_class": "metal",
        "properties": {"cpus": 8, "memory_mb": 16_384, "cpu_arch": "x86_64"},
        "extra": each.extra,
        "conductor_group": "",
    }


_NODE = "/nodes/([0-9a-f-]+)"
IRONIC: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", "baremetal", "/nodes/detail", _all),
    ("GET", "baremetal", _NODE, _one),
    ("GET", "baremetal", f"{_NODE}/inventory", _inventory),
    ("PUT", "baremetal", f"{_NODE}/states/power", _power),
)

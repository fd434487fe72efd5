# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN202, ANN204, ARG002, FBT002, SLF001
"""Nova's own fake driver as a host that can be told what it is, how slow it is, and where it fails.

`shape.json` in the host's folder says it (README.md lists the keys) and is read at each operation.
Guests are files in `guests`: like real ones they live on when the agent ends, and anybody may look.
"""

import collections.abc
import json
import threading
import time

import nova.context
from nova import exception, objects
from nova.compute import power_state
from nova.virt import fake
from oslo_serialization import jsonutils

FOLDER = None
"""The folder of the host that this process is; set after the fork."""


def shape():
    """Return what the host is now."""
    return json.loads((FOLDER / "shape.json").read_text())


class Guest:
    """One guest, as Nova's fake driver wants to see it; its state lies in its file."""

    def __init__(self, file):
        self._file = file
        self.uuid = file.name

    @property
    def _said(self):
        return json.loads(self._file.read_text())

    @property
    def name(self):
        """Its name on the hypervisor."""
        return self._said["name"]

    @property
    def state(self):
        """Its power state, a number of Nova's."""
        return self._said["state"]

    @state.setter
    def state(self, state):
        _write(self._file, self.name, state)

    def __getitem__(self, key):
        return getattr(self, key)


class Guests(collections.abc.MutableMapping):
    """The guests of this host, by UUID, nowhere but in their files."""

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, uuid):
        if not (self._folder / uuid).exists():
            raise KeyError(uuid)
        return Guest(self._folder / uuid)

    def __setitem__(self, uuid, made):
        _write(self._folder / uuid, made.name, made.state)

    def __delitem__(self, uuid):
        (self._folder / uuid).unlink()

    def __iter__(self):
        return (each.name for each in self._folder.iterdir() if not each.name.startswith("."))

    def __len__(self):
        return sum(1 for _ in self)


def _write(file, name, state):
    new = file.with_name("." + file.name)
    new.write_text(json.dumps({"name": name, "state": state}))
    new.replace(file)


class LabDriver(fake.FakeDriverWithoutFakeNodes):
    """A host of the lab."""

    def __init__(self, virtapi, read_only=False):
        self._take(shape())
        super().__init__(virtapi, read_only)
        self.instances = Guests(FOLDER / "guests")
        self._moves = {}

    def _take(self, told):
        numa = told.get("numa") or {}
        self.dedicated = numa.get("dedicated", 0)
        self.vcpus = told["vcpus"]
        self.memory_mb, self.local_gb = told["memory_mib"], told["disk_gib"]
        self.capabilities = dict(type(self).capabilities, supports_pcpus=self.dedicated > 0)

    def init_host(self, host):
        super().init_host(host)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        """Tell Nova as soon as the host's shape changes, as an operator's restart would."""
        file, manager = FOLDER / "shape.json", self.virtapi._compute
        last = file.stat().st_mtime_ns
        while True:
            time.sleep(1)
            stamp = file.stat().st_mtime_ns
            if stamp != last:
                last = stamp
                try:
                    manager.update_available_resource(nova.context.get_admin_context())
                except Exception as error:  # noqa: BLE001 (Nova's next round tries again)
                    print("lab: update failed:", error, flush=True)

    def _may_fail(self, what):
        told = shape()
        time.sleep(told.get(f"{what}_s", 0))
        if what in told.get("fail", ()):
            raise exception.InternalError(f"the lab made {what} fail on {self._host}")

    def get_available_resource(self, nodename):
        told = shape()
        self._take(told)
        self.resources.vcpus, self.resources.memory_mb = self.vcpus, self.memory_mb
        self.resources.local_gb = self.local_gb
        found = super().get_available_resource(nodename)
        if told.get("numa"):
            found["numa_topology"] = _topology(told)._to_json()
        found["pci_passthrough_devices"] = jsonutils.dumps(
            [_pci(n, told) for n in range(told.get("gpus", 0))]
        )
        return found

    def update_provider_tree(self, provider_tree, nodename, allocations=None):
        told = shape()
        self._take(told)
        super().update_provider_tree(provider_tree, nodename, allocations)
        inventory = dict(provider_tree.data(nodename).inventory)
        if self.dedicated:
            shared = self.vcpus - self.dedicated
            inventory["PCPU"] = _whole(self.dedicated)
            inventory["VCPU"] = dict(inventory["VCPU"], total=shared, max_unit=max(shared, 1))
            if not shared:
                del inventory["VCPU"]
        inventory |= {name: _whole(count) for name, count in told.get("resources", {}).items()}
        provider_tree.update_inventory(nodename, inventory)
        kept = {each for each in provider_tree.data(nodename).traits if each.startswith("COMPUTE_")}
        provider_tree.update_traits(nodename, kept | set(told.get("traits", ())))
        self._bear(provider_tree, nodename, told.get("children", {}))

    def _bear(self, provider_tree, nodename, children):
        """Give a host the nested providers that it was told, and no others of ours."""
        wanted = {f"{nodename}_{child}": resources for child, resources in children.items()}
        known = provider_tree.get_provider_uuids(nodename)
        for name in [provider_tree.data(each).name for each in known]:
            if name.startswith(f"{nodename}_") and name not in wanted:
                provider_tree.remove(name)
        for name, resources in wanted.items():
            if not provider_tree.exists(name):
                provider_tree.new_child(name, nodename)
            inventory = {each: _whole(count) for each, count in resources.items()}
            provider_tree.update_inventory(name, inventory)

    def spawn(self, context, instance, *arguments, **more):
        self._may_fail("spawn")
        return super().spawn(context, instance, *arguments, **more)

    def migrate_disk_and_power_off(self, context, instance, *arguments, **more):
        self._may_fail("migrate")
        if instance.uuid in self.instances:
            self.instances[instance.uuid].state = power_state.SHUTDOWN
        return super().migrate_disk_and_power_off(context, instance, *arguments, **more)

    def finish_migration(self, *arguments, **more):
        self._may_fail("finish_migration")
        return super().finish_migration(*arguments, **more)

    def power_off(self, instance, *arguments, **more):
        self._may_fail("power_off")
        return super().power_off(instance, *arguments, **more)

    def power_on(self, context, instance, *arguments, **more):
        self._may_fail("power_on")
        return super().power_on(context, instance, *arguments, **more)

    def destroy(self, context, instance, *arguments, **more):
        self._may_fail("destroy")
        return super().destroy(context, instance, *arguments, **more)

    def check_can_live_migrate_destination(self, *arguments, **more):
        self._may_fail("check_can_live_migrate")
        return super().check_can_live_migrate_destination(*arguments, **more)

    def pre_live_migration(self, *arguments, **more):
        self._may_fail("pre_live_migration")
        return super().pre_live_migration(*arguments, **more)

    def live_migration(  # noqa: PLR0913, PLR0917 (as Nova calls it)
        self, context, instance, dest, post_method, recover_method,
        block_migration=False, migrate_data=None,
    ):  # fmt: skip
        told = shape()
        self._moves[instance.uuid] = "runs"
        end = time.monotonic() + told.get("live_migrate_s", 0)
        try:
            while time.monotonic() < end and self._moves[instance.uuid] == "runs":
                time.sleep(0.05)
            if self._moves[instance.uuid] == "aborted":
                recover_method(context, instance, dest, migrate_data, migration_status="cancelled")
            elif "live_migrate" in shape().get("fail", ()):
                recover_method(context, instance, dest, migrate_data)
            else:
                post_method(context, instance, dest, block_migration, migrate_data)
        finally:
            self._moves.pop(instance.uuid, None)

    def live_migration_force_complete(self, instance):
        self._moves[instance.uuid] = "forced"

    def live_migration_abort(self, instance):
        self._moves[instance.uuid] = "aborted"

    def post_live_migration(self, context, instance, block_device_info, migrate_data=None):
        """Let the guest go: it runs at its destination now."""
        self.instances.pop(instance.uuid, None)

    def get_instance_disk_info(self, instance, block_device_info=None):
        return "[]"


def _whole(count):
    """Return the inventory of a resource that is never shared."""
    return {
        "total": count, "reserved": 0, "min_unit": 1, "max_unit": max(count, 1),
        "step_size": 1, "allocation_ratio": 1.0,
    }  # fmt: skip


def _topology(told):
    """Return Nova's picture of the host's NUMA cells: processors, memory and pages split evenly."""
    numa = told["numa"]
    cells = numa["cells"]
    per, memory = told["vcpus"] // cells, told["memory_mib"] // cells
    dedicated = numa.get("dedicated", 0) // cells
    return objects.NUMATopology(
        cells=[
            _cell(n, range(n * per, (n + 1) * per), dedicated, memory, numa) for n in range(cells)
        ]
    )


def _cell(number, processors, dedicated, memory, numa):
    """Return one cell; the last `dedicated` of its processors are for pinned guests."""
    threads = numa.get("threads", 1)
    shared = list(processors)[: len(processors) - dedicated]
    pinned = list(processors)[len(processors) - dedicated :]
    huge = {int(size_kib): count for size_kib, count in numa.get("pages", {}).items()}
    small = (memory * 1024 - sum(size * count for size, count in huge.items())) // 4
    siblings = (
        [set(processors[n : n + threads]) for n in range(0, len(processors), threads)]
        if threads > 1
        else []
    )
    return objects.NUMACell(
        id=number, cpuset=set(shared), pcpuset=set(pinned), memory=memory, socket=number,
        cpu_usage=0, memory_usage=0, pinned_cpus=set(), siblings=siblings,
        network_metadata=objects.NetworkMetadata(physnets=set(), tunneled=False),
        mempages=[
            objects.NUMAPagesTopology(size_kb=size, total=count, used=0, reserved=0)
            for size, count in ({4: small} | huge).items()
        ],
    )  # fmt: skip


def _pci(number, told):
    cells = (told.get("numa") or {}).get("cells", 1)
    return {
        "address": f"0000:{0x81 + number:02x}:00.0", "product_id": "20b0", "vendor_id": "10de",
        "status": "available", "dev_type": "type-PCI", "parent_addr": None,
        "numa_node": number % cells, "label": "label_10de_20b0",
    }  # fmt: skip

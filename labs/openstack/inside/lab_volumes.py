# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN001, ANN003, ANN201, ANN202, ARG002
"""Storage that stores nothing: two pools whose volumes are rows of Cinder's database only."""

import cinder.context
from cinder import interface, objects
from cinder.volume import driver

POOLS = {"fast": 1000, "slow": 8000}
"""GiB that each pool says it has."""


@interface.volumedriver
class LabVolumes(driver.VolumeDriver):
    """A backend of the lab."""

    VERSION = "1"

    def check_for_setup_error(self):
        """Find nothing wrong."""

    def create_volume(self, volume):
        """Make nothing."""

    def delete_volume(self, volume):
        """Remove nothing."""

    def extend_volume(self, volume, new_size):
        """Extend nothing."""

    def ensure_export(self, context, volume):
        """Export nothing."""

    def create_export(self, context, volume, connector, **more):
        """Export nothing."""

    def remove_export(self, context, volume):
        """Take nothing back."""

    def initialize_connection(self, volume, connector, **more):
        """Say how Nova's fake driver reaches a volume: it does not look."""
        return {"driver_volume_type": "fake", "data": {"volume_id": volume.id}}

    def terminate_connection(self, volume, connector, **more):
        """Let nothing go."""

    def _update_volume_stats(self):
        context = cinder.context.get_admin_context()
        volumes = objects.VolumeList.get_all_by_host(context, self.host)
        taken = {name: sum(each.size for each in volumes if each.host.endswith(f"#{name}"))
                 for name in POOLS}  # fmt: skip
        self._stats = {
            "volume_backend_name": "pools", "vendor_name": "Billow", "driver_version": "1",
            "storage_protocol": "fake",
            "pools": [
                {
                    "pool_name": name, "total_capacity_gb": total,
                    "free_capacity_gb": total - taken[name],
                    "provisioned_capacity_gb": taken[name], "reserved_percentage": 0,
                    "max_over_subscription_ratio": "1.0", "thin_provisioning_support": False,
                    "thick_provisioning_support": True, "multiattach": True,
                }
                for name, total in POOLS.items()
            ],
        }  # fmt: skip

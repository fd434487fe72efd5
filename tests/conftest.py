# SPDX-License-Identifier: Apache-2.0
"""What every test shares: which real parts this machine has, and dice that fall the same each run.

A test that needs a real part says so by a marker. Where BILLOW_REQUIRE names the part, as `./dev`
does for root and CI, a missing part ends the run as a failure; elsewhere the tests that need it are
deselected and the summary says why. Nothing is skipped in silence.
"""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.databases", "tests.openstack_lab"]

settings.register_profile(
    "ci",
    deadline=None,  # a busy machine is no failure
    derandomize=True,  # the same examples in every run; a failure can be repeated
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("ci"), derandomize=False, max_examples=2000
)
settings.load_profile(os.environ.get("BILLOW_HYPOTHESIS", "ci"))

# marker: (what shows that the part is here, the Debian packages that bring it)
PARTS = {
    "qemu": (
        "qemu-system-x86_64 qemu-img ip busybox",
        "qemu-system-x86 qemu-utils iproute2 busybox-static",
    ),
    "libvirt": (
        "libvirtd virsh ip qemu-system-x86_64",
        "libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients iproute2 qemu-system-x86",
    ),
    "bmc": ("/usr/sbin/ipmi-raw ipmitool", "freeipmi-tools ipmitool"),
    "openstack": (
        "/usr/sbin/mariadbd /usr/sbin/rabbitmq-server memcached",
        "mariadb-server rabbitmq-server memcached",
    ),
    "postgres": ("/usr/lib/postgresql/*/bin/postgres", "postgresql"),
    "browser": ("chromium", "chromium"),
}


def _is_here(sign: str) -> bool:
    """Tell whether a program (by name) or a file (by pattern) is on this machine."""
    if sign.startswith("/"):
        return any(Path("/").glob(sign[1:]))
    return shutil.which(sign) is not None


def _absences() -> dict[str, str]:
    """Return, for each real part that is not here, what is missing and how to get it."""
    found = {}
    for marker, (signs, packages) in PARTS.items():
        missing = [sign for sign in signs.split() if not _is_here(sign)]
        if missing:
            found[marker] = f"{', '.join(missing)} not found; apt-get install {packages}"
    return found


ABSENCES = _absences()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one flag of golden files."""
    parser.addoption(
        "--regenerate-golden",
        action="store_true",
        help="write golden files anew instead of comparing; review them as a diff",
    )


def pytest_configure(config: pytest.Config) -> None:
    """End the run at once where a required part is missing."""
    required = [part for part in os.environ.get("BILLOW_REQUIRE", "").split(",") if part]
    if unknown := sorted(set(required) - set(PARTS)):
        raise pytest.UsageError(f"BILLOW_REQUIRE names no known part: {', '.join(unknown)}")
    if missing := [f"{part}: {ABSENCES[part]}" for part in required if part in ABSENCES]:
        raise pytest.UsageError("required by BILLOW_REQUIRE, but " + "; ".join(missing))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what cannot run here; keep the tests of one file that use real parts together."""
    lost = [item for item in items if any(item.get_closest_marker(part) for part in ABSENCES)]
    if lost:
        config.hook.pytest_deselected(items=lost)
        items[:] = [item for item in items if item not in lost]
    for item in items:
        real = any(item.get_closest_marker(part) for part in PARTS)
        if item.get_closest_marker("openstack"):  # one cloud is enough for two cores
            item.add_marker(pytest.mark.xdist_group("openstack"))
        elif real and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which real parts were not here, so that a green run hides no gap."""
    for part, reason in ABSENCES.items():
        terminalreporter.write_line(f"deselected: tests marked `{part}`: {reason}", yellow=True)

# SPDX-License-Identifier: Apache-2.0
"""Ask a real QEMU which CPU models it knows and what they have; write `billow/model/cpu/data.py`.

    python labs/cpu-models/make.py > src/billow/model/cpu/data.py

x86_64: `query-cpu-definitions` and a static `query-cpu-model-expansion` of each model, under KVM,
for a model under TCG has other defaults (`vme`, `x2apic`, `svm`). Needs /dev/kvm. The vendor comes
from TCG, for under KVM a guest sees that of its host.
Arm: QMP says next to nothing of Arm's models, so a program of fourteen instructions reads the
Features line of /proc/cpuinfo that `qemu-aarch64 -cpu MODEL` shows to it (QEMU 8.2 and later).
Binaries elsewhere: QEMU_SYSTEM="qemu-system-x86_64 -L FOLDER" QEMU_USER=qemu-aarch64.
"""

import json
import os
import shlex
import struct
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

SYSTEM = shlex.split(os.environ.get("QEMU_SYSTEM", "qemu-system-x86_64"))
USER = shlex.split(os.environ.get("QEMU_USER", "qemu-aarch64"))
NO_MODEL = {"base", "host", "max"}
GENERIC = ("486", "kvm32", "kvm64", "qemu32", "qemu64")
"""Models of nobody's CPU: what they say of the vendor binds no host."""
VENDORS = {
    "GenuineIntel": "intel",
    "AuthenticAMD": "amd",
    "HygonGenuine": "hygon",
    "CentaurHauls": "zhaoxin",
}
ALWAYS = {"hypervisor", "topoext"}
"""What QEMU gives whatever the host is: never in `unavailable-features`."""
ARM = (
    *("cortex-a53", "cortex-a72", "cortex-a76", "cortex-a710"),
    *("neoverse-n1", "neoverse-v1", "neoverse-n2", "a64fx"),
)
Models = dict[str, tuple[list[str], set[str]]]


class Monitor:
    """QMP of a machine that never runs."""

    def __init__(self, accelerator: str) -> None:
        command = [*SYSTEM, "-machine", "pc", "-accel", accelerator, "-nodefaults", "-S"]
        command += ["-display", "none", "-qmp", "stdio"]
        pipe = subprocess.PIPE
        self._qemu = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        greeting = json.loads(self._line())["QMP"]["version"]
        self.version = "{major}.{minor}.{micro}".format(**greeting["qemu"])
        self.package = greeting["package"]
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 (JSON)
        """Run a QMP command and return its answer."""
        assert self._qemu.stdin
        print(
            json.dumps({"execute": command, "arguments": arguments}),
            file=self._qemu.stdin,
            flush=True,
        )
        while "return" not in (answer := json.loads(self._line())):
            if "error" in answer:
                raise SystemExit(f"{command} {arguments}: {answer['error']['desc']}")
        return answer["return"]

    def expanded(self, name: str) -> dict[str, object]:
        """Return the properties of a model."""
        model = {"name": name}
        said = self.execute("query-cpu-model-expansion", type="static", model=model)
        properties: dict[str, object] = said["model"]["props"]
        return properties

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._qemu.kill()
        self._qemu.wait()

    def _line(self) -> str:
        assert self._qemu.stdout
        return self._qemu.stdout.readline()


def x86_models(monitor: Monitor, translator: Monitor) -> Models:
    """Return names (the versioned one first) and features of each model, the smaller ones first."""
    models: Models = {}
    aliases: dict[str, list[str]] = {}
    for each in monitor.execute("query-cpu-definitions"):
        name = each["name"]
        if "alias-of" in each:
            aliases.setdefault(each["alias-of"], []).append(name)
        elif name not in NO_MODEL:
            own, shown = monitor.expanded(name), translator.expanded(name)
            models[name] = [name], features(own) | vendor(name, shown)
    for name, others in aliases.items():
        models[name][0].extend(sorted(others))
    return dict(sorted(models.items(), key=lambda each: (len(each[1][1]), each[0])))


def features(properties: dict[str, object]) -> set[str]:
    """Return the flags that a host must have."""
    flags = {flag for flag, value in properties.items() if value is True} - ALWAYS
    return {flag for flag in flags if not flag.startswith(("kvm", "hv-", "x-"))}


def vendor(name: str, properties: dict[str, object]) -> set[str]:
    """Return whose CPU a model is of."""
    return set() if name.startswith(GENERIC) else {VENDORS[str(properties["vendor"])]}


def arm_models() -> Models:
    """Return names and features, as Linux calls them, of the Arm cores that servers have."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "show-cpuinfo"
        program.write_bytes(cpuinfo_program())
        program.chmod(0o755)
        found = {name: ([name], arm_features(name, program)) for name in ARM}
    return dict(sorted(found.items(), key=lambda each: (len(each[1][1]), each[0])))


def arm_features(name: str, program: Path) -> set[str]:
    """Return what programs see on one core."""
    command = [*USER, "-cpu", name, str(program)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(line for line in shown.splitlines() if line.startswith("Features"))
    return set(line.partition(":")[2].split())


def cpuinfo_program() -> bytes:
    """Return an aarch64 program: `sendfile(1, openat(AT_FDCWD, "/proc/cpuinfo"), 0, 65536)`."""
    words = [0xD2800708, 0x92800C60, 0x10000181, 0xD2800002, 0xD4000001]  # openat(-100, path, 0)
    words += [0xAA0003E1, 0xD2800020, 0xD2800002, 0xD2A00023, 0xD28008E8, 0xD4000001]  # sendfile
    words += [0xD2800000, 0xD2800BA8, 0xD4000001]  # exit(0)
    body = struct.pack(f"<{len(words)}I", *words) + b"/proc/cpuinfo\0"
    start, header = 0x400000, 64 + 56
    kind = b"\x7fELF\2\1\1" + bytes(9)
    elf = struct.pack(
        "<16sHHIQQQIHHHHHH", kind, 2, 183, 1, start + header, 64, *[0, 0, 64, 56, 1, 0, 0, 0]
    )
    size = header + len(body)
    return elf + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 4096) + body


def lines(arch: str, models: Models) -> Iterator[str]:
    """Yield each model as what it has more and less than the nearest one before it."""
    written: Models = {}
    for name, (names, has) in models.items():
        nearest = min(written, key=lambda other: len(written[other][1] ^ has), default="")
        base = written[nearest][1] if nearest else set()
        less, more = [f"-{f}" for f in sorted(base - has)], [f"+{f}" for f in sorted(has - base)]
        yield from wrapped([arch, *names, "=", *([nearest] * bool(nearest)), *less, *more])
        written[name] = names, has


def wrapped(parts: Sequence[str]) -> list[str]:
    """Return the lines of one model."""
    return textwrap.wrap(
        " ".join(parts),
        97,
        subsequent_indent="  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def main() -> None:
    """Ask, and print the module."""
    with Monitor("kvm") as monitor, Monitor("tcg") as translator:
        models = x86_models(monitor, translator)
    print(HEAD.format(version=monitor.version, package=monitor.package))
    print('MODELS: Final = """\\')
    for line in (*lines("x86_64", models), *lines("aarch64", arm_models())):
        print(line)
    print('"""')


HEAD = '''# SPDX-License-Identifier: Apache-2.0
"""CPU models and what they have. Made by labs/cpu-models/make.py; do not edit.

Source: QEMU {version} ({package}).
One model is `ARCH NAME [OTHER NAME..] = [NEAREST] [-less..] [+more..]`; an indented line goes on.
"""

from typing import Final
'''

if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Several libvirtd hosts on one machine, for trying the engine `libvirt` and for its tests."""

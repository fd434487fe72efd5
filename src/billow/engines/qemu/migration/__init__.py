# SPDX-License-Identifier: Apache-2.0
"""A live migration between two QEMU processes: how it is begun, steered, followed and ended."""

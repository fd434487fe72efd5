# SPDX-License-Identifier: Apache-2.0
"""This machine as a small pool: hosts by stated capacity, instances as QEMU processes."""

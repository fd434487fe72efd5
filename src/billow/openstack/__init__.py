# SPDX-License-Identifier: Apache-2.0
"""What an OpenStack cloud's owner sees first: one report of it, and what other tools knew of it."""

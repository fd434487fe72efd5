# SPDX-License-Identifier: Apache-2.0
"""How a host's failure is decided upon: pure functions of what is known and of the time."""

# SPDX-License-Identifier: Apache-2.0
"""What runs on a host: it says that the host lives, what ails it, and obeys when told to end it.

Three small processes, so that none can hold up another: `parent` (restarts the others, feeds the
watchdog), `speaker` (beats and orders; no disk, no fork) and `prober` (looks for faults, may hang).
It must stay light: the standard library and `billow.model.ha` only.
"""

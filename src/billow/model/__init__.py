# SPDX-License-Identifier: Apache-2.0
"""The nouns of Billow: frozen values, no I/O, no clock, no dice."""

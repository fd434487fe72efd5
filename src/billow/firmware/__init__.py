# SPDX-License-Identifier: Apache-2.0
"""A guest of 64 KiB that boots at once, works as told, and says on its serial line so."""

# SPDX-License-Identifier: Apache-2.0
"""Which calls make a look at a cloud: as few as say what has changed since the last."""

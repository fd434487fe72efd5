# SPDX-License-Identifier: Apache-2.0
"""A plan becomes a changed world, safely: guarded, in waves, journalled, recoverable, undoable."""

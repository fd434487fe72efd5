# SPDX-License-Identifier: Apache-2.0
"""Power as a proof: what engines of management controllers share, whatever protocol they speak."""

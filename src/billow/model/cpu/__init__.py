# SPDX-License-Identifier: Apache-2.0
"""What CPUs are called and what they have."""

# SPDX-License-Identifier: Apache-2.0
"""The nouns of high availability: what is seen of a host, and what is done when it fails."""

# SPDX-License-Identifier: Apache-2.0
"""Billow: an open cloud operating system that sees a pool, plans a change and applies it safely.

This module exists to carry the version. It must not import the rest of the package: a tool that
only asks for the version must not pay for NumPy and SQLAlchemy.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"

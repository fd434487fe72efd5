# SPDX-License-Identifier: Apache-2.0
"""`python -m billow` is the command `billow`."""

from billow.cli.main import main

main()

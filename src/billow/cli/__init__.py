# SPDX-License-Identifier: Apache-2.0
"""The command line, `billow`: ask a control plane over HTTP, print the answer, decide nothing."""

# SPDX-License-Identifier: Apache-2.0
"""Hosts as network namespaces with three networks each, for trying high availability for real."""

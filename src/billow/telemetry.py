# SPDX-License-Identifier: Apache-2.0
"""Logs and metrics: what the process says of itself. Logs go to stderr; stdout is for data."""

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
"""What `/metrics` shows."""

SENSE_SECONDS = Histogram(
    "billow_sense_seconds", "Time to look at the whole pool.", registry=REGISTRY
)
HOSTS = Gauge("billow_hosts", "Hosts in the pool.", registry=REGISTRY)
INSTANCES = Gauge("billow_instances", "Instances in the pool.", registry=REGISTRY)
GAPS = Gauge("billow_gaps", "Things that could not be seen.", registry=REGISTRY)
WRITER = Gauge("billow_writer", "1 while this controller holds the lease.", registry=REGISTRY)
PLANS = Counter("billow_plans", "Plans made.", ["capability"], registry=REGISTRY)
PLAN_SECONDS = Histogram("billow_plan_seconds", "Time to make a plan.", registry=REGISTRY)
RUNS = Counter("billow_runs", "Runs ended.", ["state"], registry=REGISTRY)


def start_logging(*, verbose: bool = False) -> None:
    """Send structured logs to stderr: readable on a terminal, JSON elsewhere."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if verbose else logging.INFO
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )

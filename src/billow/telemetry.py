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
MIGRATING = Gauge("billow_migrations_under_way", "Live migrations under way.", registry=REGISTRY)
MIGRATIONS = Counter(
    "billow_migrations", "Live migrations ended.", ["way", "outcome"], registry=REGISTRY
)
MIGRATION_SECONDS = Histogram(
    "billow_migration_seconds",
    "Time of live migrations that were done, from the order to the end.",
    ["way"],
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600),
    registry=REGISTRY,
)
MIGRATION_DOWNTIME = Histogram(
    "billow_migration_downtime_seconds",
    "How long instances stood still in live migrations that were done.",
    ["way"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10, 60),
    registry=REGISTRY,
)
MIGRATION_BYTES = Counter(
    "billow_migration_copied_bytes", "Sent by live migrations.", ["way"], registry=REGISTRY
)


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

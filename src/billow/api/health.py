# SPDX-License-Identifier: Apache-2.0
"""Routes for machines that watch Billow: is it alive, and its metrics."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from billow import __version__
from billow.api import system_answers
from billow.api.caller import FOR_VIEWERS
from billow.telemetry import REGISTRY

router = APIRouter(tags=["system"])


@router.get("/healthz", summary="Is it alive?", response_model=system_answers.Alive)
async def alive() -> dict[str, str]:
    """Say that the control plane answers. Anybody may ask."""
    return {"status": "ok", "version": __version__}


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    dependencies=[FOR_VIEWERS],
)
async def metrics() -> Response:
    """Return the metrics in Prometheus's text form, for whoever bears a viewer's token."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

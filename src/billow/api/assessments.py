# SPDX-License-Identifier: Apache-2.0
"""The route that assesses a move before it is wanted. Nothing is changed."""

import math
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from billow.api.answers import Answer, Measure
from billow.api.caller import Viewed
from billow.model.assessment import Assessment, Way
from billow.model.document import Document
from billow.plan.convergence import Outlook, Prediction, Verdict, outlook

router = APIRouter(prefix="/v1", tags=["pool"])

Target = Annotated[
    str, Query(max_length=253, description="The host; without it, placement chooses.")
]


class VcpuDocument(Answer):
    """How one vCPU writes, or all of them where they cannot be told apart."""

    dirty_mib_s: float
    working_mib: float = Field(description="What it writes to again and again.")
    busy: float = Field(description="Share of time in which it runs.")


class PredictionDocument(Answer):
    """What one way of moving comes to."""

    way: Way
    ends: bool
    seconds: Measure = Field(description="Null when it does not end.")
    downtime_s: Measure
    sent_mib: float
    rounds: int
    speeds: list[float] = Field(description="Of each vCPU during the copy, 0 to 1.")
    limits_mib_s: list[Measure] = Field(description="Null where a vCPU is left alone.")
    throttle: float = Field(description="Share of time that was taken from all vCPUs in the end.")


class AssessmentDocument(Answer):
    """What was measured for a move, and what to expect of it."""

    instance: str
    source: str
    target: str
    taken_at: float
    verdict: Verdict
    sure: bool = Field(description="Whether the time is as good as what was measured.")
    prediction: PredictionDocument = Field(description="What the verdict rests on.")
    others: list[PredictionDocument]
    used: Way = Field(description="The brake that the engine has today.")
    memory_mib: float
    empty_share: float
    disk_mib: float = Field(0.0, description="What there is of a disk that moves along.")
    vcpus: list[VcpuDocument]
    bandwidth_mib_s: float
    moves: int = Field(description="How many share it, this one counted.")
    downtime_limit_s: float
    measured: list[str] = Field(description="How each figure was measured.")
    gaps: list[str] = Field(description="What could not be measured.")


@router.get(
    "/instances/{instance:path}/assessment",
    summary="Assess a move of an instance",
    response_model=AssessmentDocument,
)
async def assess(billow: Viewed, instance: str, target: Target = "") -> JSONResponse:
    """Measure for seconds how it writes and what the link carries; say whether a move ends."""
    found = await billow.migrations.assess(instance, target)
    return JSONResponse(assessment_document(found, outlook(found)))


def assessment_document(found: Assessment, ahead: Outlook) -> Document:
    """Return an assessment with what it means."""
    guest, link = found.guest, found.link
    return {
        "instance": found.instance,
        "source": found.source,
        "target": found.target,
        "taken_at": found.taken_at,
        "verdict": ahead.verdict.value,
        "sure": ahead.sure,
        "prediction": _prediction(ahead.chosen),
        "others": [_prediction(each) for each in ahead.others],
        "used": found.used.value,
        "memory_mib": guest.memory_mib,
        "empty_share": guest.empty_share,
        "disk_mib": guest.disk_mib,
        "vcpus": [
            {"dirty_mib_s": each.dirty_mib_s, "working_mib": each.working_mib, "busy": each.busy}
            for each in guest.writers
        ],
        "bandwidth_mib_s": link.bandwidth_mib_s,
        "moves": link.moves,
        "downtime_limit_s": link.downtime_s,
        "measured": list(found.measured),
        "gaps": list(found.gaps),
    }


def _prediction(found: Prediction) -> Document:
    return {
        "way": found.way.value,
        "ends": found.ends,
        "seconds": _known(found.seconds),
        "downtime_s": _known(found.downtime_s),
        "sent_mib": found.sent_mib,
        "rounds": found.rounds,
        "speeds": list(found.speeds),
        "limits_mib_s": [_known(each) for each in found.limits_mib_s],
        "throttle": found.throttle,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None

# SPDX-License-Identifier: Apache-2.0
"""The CPU that all hosts can give their guests, and what stands in the way of better ones."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse

from billow.api.answers import Answer
from billow.api.caller import Viewed
from billow.model.document import Document
from billow.model.kinds import Arch
from billow.model.pool import Pool
from billow.plan.baseline import Baseline, Better, CpuKind, baselines

router = APIRouter(prefix="/v1", tags=["pool"])

CPU = "A model that QEMU knows, then features less and more: `Skylake-Server-v3 -pku +gfni`."


class CpuKindAnswer(Answer):
    """Hosts with one and the same CPU."""

    cpu_model: str = Field(description=CPU)
    hosts: int = Field(description="How many there are.")
    examples: list[str] = Field(description="The first of them.")
    lacks: list[str] = Field(description="Features of the model in question that they lack.")


class BetterModel(Answer):
    """A model with all features of the baseline and more, which some hosts cannot give."""

    model: str
    family: str = Field(description="The model without its version.")
    gains: int = Field(description="Features more than the baseline has.")
    hosts: int = Field(description="Hosts that stand in its way.")
    lacks: list[str] = Field(description="Features that any of them lacks.")
    in_the_way: list[CpuKindAnswer] = Field(description="Which hosts lack what, most hosts first.")


class CpuBaseline(Answer):
    """What the hosts of one instruction set and vendor have in common."""

    arch: Arch
    vendor: str = Field(description="intel, amd, hygon, zhaoxin; empty on Arm, or if not known.")
    hosts: int = Field(description="Hosts whose CPU is known.")
    unknown: int = Field(description="Hosts of this instruction set whose CPU is not known.")
    model: str = Field(description="The best model that all known hosts can give; empty for none.")
    common: str = Field(description=f"All that they have in common. {CPU}")
    bound: int = Field(description="Instances that could not run on every one of these hosts.")
    kinds: list[CpuKindAnswer]
    better: list[BetterModel] = Field(description="The nearest first.")


class CpuBaselines(Answer):
    """A baseline for each instruction set and vendor: guests that run move within these only."""

    digest: str = Field(description="Of the pool that was looked at.")
    items: list[CpuBaseline]


@router.get(
    "/pool/cpu-baseline", summary="The CPU that all hosts have", response_model=CpuBaselines
)
async def show_cpu_baseline(
    billow: Viewed,
    arch: Annotated[Arch | None, Query(description="Of this instruction set only.")] = None,
) -> JSONResponse:
    """Return the best CPU model that all hosts can run, and what each better one lacks where."""
    pool = await billow.pool()
    return JSONResponse(await to_thread.run_sync(cpu_baselines_document, pool, arch))


def cpu_baselines_document(pool: Pool, arch: Arch | None) -> Document:
    """Return the baselines of a pool as the API answers them."""
    return {"digest": pool.digest, "items": [_baseline(each) for each in baselines(pool, arch)]}


def _baseline(each: Baseline) -> Document:
    return {
        "arch": each.arch.value,
        "vendor": each.vendor,
        "hosts": each.hosts,
        "unknown": each.unknown,
        "model": each.model,
        "common": each.common,
        "bound": each.bound,
        "kinds": [_kind(kind) for kind in each.kinds],
        "better": [_better(better) for better in each.better],
    }


def _better(each: Better) -> Document:
    return {
        "model": each.model,
        "family": each.family,
        "gains": each.gains,
        "hosts": each.hosts,
        "lacks": list(each.lacks),
        "in_the_way": [_kind(kind) for kind in each.in_the_way],
    }


def _kind(each: CpuKind) -> Document:
    return {
        "cpu_model": each.cpu_model,
        "hosts": each.hosts,
        "examples": list(each.examples),
        "lacks": list(each.lacks),
    }

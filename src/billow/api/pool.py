# SPDX-License-Identifier: Apache-2.0
"""Routes of the pool, its hosts and its instances, for reading."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from billow.api import answers, render
from billow.api.caller import Operator, Viewed
from billow.api.listing import MOST_ROWS, chosen, page_of
from billow.model.document import Document
from billow.model.listing import search
from billow.model.listing.columns import Grid
from billow.model.listing.hosts import host_grid
from billow.model.listing.instances import instance_grid

router = APIRouter(prefix="/v1", tags=["pool"])

Filter = Annotated[str | None, Field(max_length=1000)]
WORDS = "One or more words, separated by commas; a row with any of them passes."
RANGE = "A number, or a range: `4096`, `4096..8192`, `4096..`, `..8192`."


class ListQuery(BaseModel):
    """What every list takes."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field("", max_length=253, description="Part of the id, in any case.")
    sort: str = Field("id", max_length=60, description="A field; `-` before it for descending.")
    fields: str = Field("", max_length=2000, description="Fields to show; empty for all.")
    limit: int = Field(50, ge=1, le=MOST_ROWS)
    cursor: str = Field("", max_length=2000, description="Where the page before ended.")

    def wanted(self) -> search.Query:
        """Return the question, with every filter that was given."""
        common = set(ListQuery.model_fields)
        where = {
            name: value
            for name, value in self.model_dump(exclude=common).items()
            if value is not None
        }
        return search.Query(where, self.q, self.sort)


class HostQuery(ListQuery):
    """What the host list can be filtered by."""

    mark: Filter = Field(None, description=WORDS)
    power: Filter = Field(None, description=WORDS)
    health: Filter = Field(None, description=WORDS)
    cordon: Filter = Field(None, description=WORDS)
    takes_instances: Filter = Field(None, description="`true` or `false`.")
    arch: Filter = Field(None, description=WORDS)
    cpu_model: Filter = Field(None, description=WORDS)
    zone: Filter = Field(None, description=WORDS)
    rack: Filter = Field(None, description=WORDS)
    gpu_model: Filter = Field(None, description=WORDS)
    traits: Filter = Field(None, description="Words; a row must have all of them.")
    instances: Filter = Field(None, description=RANGE)
    cpu_milli: Filter = Field(None, description=RANGE)
    memory_mib: Filter = Field(None, description=RANGE)
    gpus: Filter = Field(None, description=RANGE)
    free_cpu_milli: Filter = Field(None, description=RANGE)
    free_memory_mib: Filter = Field(None, description=RANGE)
    free_huge_mib: Filter = Field(None, description=RANGE)
    free_gpus: Filter = Field(None, description=RANGE)
    cpu_ratio: Filter = Field(None, description=RANGE)
    memory_ratio: Filter = Field(None, description=RANGE)
    cpu_used_share: Filter = Field(None, description=RANGE)
    memory_used_share: Filter = Field(None, description=RANGE)
    load: Filter = Field(None, description=RANGE)
    cpu_pressure: Filter = Field(None, description=RANGE)
    memory_pressure: Filter = Field(None, description=RANGE)
    swap_mib_s: Filter = Field(None, description=RANGE)
    watts: Filter = Field(None, description=RANGE)


class InstanceQuery(ListQuery):
    """What the instance list can be filtered by."""

    state: Filter = Field(None, description=WORDS)
    kind: Filter = Field(None, description=WORDS)
    host: Filter = Field(None, description=WORDS)
    host_zone: Filter = Field(None, description=WORDS)
    shape: Filter = Field(None, description=WORDS)
    group: Filter = Field(None, description=WORDS)
    tenant: Filter = Field(None, description=WORDS)
    zone: Filter = Field(None, description=WORDS)
    image: Filter = Field(None, description=WORDS)
    migratable: Filter = Field(None, description="`true` or `false`.")
    service: Filter = Field(None, description=WORDS)
    migration: Filter = Field(None, description=WORDS)
    cpu_model: Filter = Field(None, description=WORDS)
    disk: Filter = Field(None, description=WORDS)
    cpu_milli: Filter = Field(None, description=RANGE)
    memory_mib: Filter = Field(None, description=RANGE)
    gpus: Filter = Field(None, description=RANGE)
    priority: Filter = Field(None, description=RANGE)
    cpu_limit_milli: Filter = Field(None, description=RANGE)
    cpu_used_milli: Filter = Field(None, description=RANGE)
    memory_used_mib: Filter = Field(None, description=RANGE)
    cpu_wait: Filter = Field(None, description=RANGE)
    ballooned_mib: Filter = Field(None, description=RANGE)
    disk_used_mib: Filter = Field(None, description=RANGE)


@router.get("/pool", summary="The pool in a few numbers", response_model=answers.PoolSummary)
async def show_pool(billow: Viewed) -> JSONResponse:
    """Return sums over the pool; the ETag is its digest, for If-Match."""
    pool = await billow.pool()
    body = await to_thread.run_sync(render.pool_summary, billow.settings.pool, pool)
    return JSONResponse(body, headers={"ETag": f'"{pool.digest}"'})


@router.post("/pool/sense", summary="Look at the pool now", response_model=answers.PoolSummary)
async def sense_pool(caller: Operator) -> JSONResponse:
    """Look at the pool now, and return it in a few numbers."""
    pool = await caller.billow.sense()
    name = caller.billow.settings.pool
    return JSONResponse(await to_thread.run_sync(render.pool_summary, name, pool))


@router.get("/hosts", summary="Hosts, page by page", response_model=answers.HostPage)
async def list_hosts(billow: Viewed, query: Annotated[HostQuery, Query()]) -> JSONResponse:
    """Return one page of hosts, filtered and sorted here."""
    pool = await billow.pool()
    page = await to_thread.run_sync(_page, host_grid(pool), query)
    return JSONResponse({"digest": pool.digest, **page})


@router.get("/hosts/{host:path}", summary="One host", response_model=answers.HostDocument)
async def show_host(billow: Viewed, host: str) -> JSONResponse:
    """Return a host with its NUMA nodes."""
    pool = await billow.pool()
    return JSONResponse(await to_thread.run_sync(render.host_document, pool, host))


@router.get("/instances", summary="Instances, page by page", response_model=answers.InstancePage)
async def list_instances(billow: Viewed, query: Annotated[InstanceQuery, Query()]) -> JSONResponse:
    """Return one page of instances, filtered and sorted here."""
    pool = await billow.pool()
    page = await to_thread.run_sync(_page, instance_grid(pool), query)
    return JSONResponse({"digest": pool.digest, **page})


@router.get(
    "/instances/{instance:path}", summary="One instance", response_model=answers.InstanceDocument
)
async def show_instance(billow: Viewed, instance: str) -> JSONResponse:
    """Return an instance with its size."""
    pool = await billow.pool()
    return JSONResponse(await to_thread.run_sync(render.instance_document, pool, instance))


def _page(grid: Grid, query: ListQuery) -> Document:
    fields = chosen(grid, query.fields)
    page = page_of(grid, query.wanted(), query.limit, query.cursor)
    return {
        "total": page.total,
        "cursor": page.cursor,
        "items": [grid.show(row, fields) for row in page.rows],
    }

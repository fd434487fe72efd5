# SPDX-License-Identifier: Apache-2.0
"""Routes of runs: read, stopped, undone."""

from typing import Literal

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from billow.api import plan_answers, render
from billow.api.caller import Operator, Viewed
from billow.api.offer import CREATED, offered
from billow.api.plans import Before, Limit

router = APIRouter(prefix="/v1", tags=["runs"])

Entries = Literal["all", "active", "none"]


@router.get("/runs", summary="Runs, newest first", response_model=plan_answers.RunPage)
async def list_runs(billow: Viewed, limit: Limit = 50, cursor: Before = "") -> JSONResponse:
    """Return one page of runs. They are kept for ever."""
    runs = await billow.runs(limit=limit, before=cursor)
    more = runs[-1].id if len(runs) == limit else ""
    return JSONResponse({"items": [render.run_row(run) for run in runs], "cursor": more})


@router.get("/runs/{run}", summary="One run", response_model=plan_answers.RunDocument)
async def show_run(billow: Viewed, run: str, entries: Entries = "all") -> JSONResponse:
    """Return a run with what the journal knows of its actions: of all, or of those under way."""
    return JSONResponse(render.run_answer(await billow.run(run), entries))


@router.post("/runs/{run}/stop", summary="Stop a run", response_model=plan_answers.RunDocument)
async def stop_run(caller: Operator, run: str) -> JSONResponse:
    """Start no new step; what is under way is finished."""
    return JSONResponse(render.run_answer(await caller.billow.stop(run, actor=caller.person.name)))


@router.post("/runs/{run}/undo", summary="Undo a run", status_code=201, responses=CREATED)
async def undo_run(caller: Operator, run: str) -> Response:
    """Make the plan that leads back. It is applied like any other."""
    return await offered(caller, await caller.billow.undo(run, actor=caller.person.name))

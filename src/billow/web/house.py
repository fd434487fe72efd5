# SPDX-License-Identifier: Apache-2.0
"""What all requests of one console share: Billow, templates, scene, a few read plans.

It keeps nothing that cannot be made again. This module must not know a request.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from pathlib import Path

import jinja2

from billow.app import Billow
from billow.model.plan import Plan
from billow.model.pool import Pool
from billow.store.plans import PlanStatus
from billow.web import words
from billow.web.scene import Scene, Scenes
from billow.web.told import Reports

HERE = Path(__file__).parent
PLANS_KEPT = 6


class House:
    """The console's shared state."""

    def __init__(self, billow: Billow) -> None:
        self.billow = billow
        self.assets = f"/static/{_fingerprint(HERE / 'static')}"
        self.templates = _templates(self.assets)
        self.scenes = Scenes()
        self.reports = Reports(billow)
        self._plans: OrderedDict[str, tuple[Plan, Pool]] = OrderedDict()
        self._scene_lock = asyncio.Lock()

    def now(self) -> float:
        """Return the time that pages compare with, in seconds since the epoch."""
        return time.time()  # noqa: TID251 - only to say how long ago something was

    async def scene(self) -> Scene:
        """Return the freshest pool, ready to be shown. Raises Unavailable."""
        pool = await self.billow.pool()
        latest = self.scenes.latest
        return latest if latest and latest.pool is pool else await self.forecast()

    async def forecast(self) -> Scene:
        """Return the freshest pool with what the newest open plan predicts. Raises Unavailable."""
        async with self._scene_lock:
            pool = await self.billow.pool()
            open_plan = await self._open_plan(pool)
            return await asyncio.to_thread(self._make, pool, open_plan)

    async def plan(self, plan_id: str) -> tuple[Plan, Pool]:
        """Return a plan and the pool that it was made for. Raises NotFound."""
        if plan_id not in self._plans:
            plan = await self.billow.plan(plan_id)
            self._plans[plan_id] = (plan, await self.billow.store.base_of(plan_id))
        self._plans.move_to_end(plan_id)
        while len(self._plans) > PLANS_KEPT:
            self._plans.popitem(last=False)
        return self._plans[plan_id]

    async def _open_plan(self, pool: Pool) -> Plan | None:
        """Return the newest plan that can still be carried out; None when there is none."""
        digest = await asyncio.to_thread(lambda: pool.digest)
        for row in await self.billow.plans(limit=5):
            if row.status is PlanStatus.OPEN and row.steps and row.based_on == digest:
                return (await self.plan(row.id))[0]
        return None

    def _make(self, pool: Pool, open_plan: Plan | None) -> Scene:
        if open_plan is None:
            return self.scenes.of(pool)
        return self.scenes.of(pool, open_plan.predicted, open_plan.id)


def _templates(assets: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(assets=assets, **words.FUNCTIONS)
    environment.filters.update(words.FILTERS)
    return environment


def _fingerprint(folder: Path) -> str:
    """Name the state of all static files, so that a browser may keep them for ever."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]

# SPDX-License-Identifier: Apache-2.0
"""Live migrations, for every face: assessed before, watched under way, taken back, looked up after.

It asks the store what is known and the engine what can be done; it moves nothing by itself: a move
is a step of a run.
"""

from collections.abc import Collection, Mapping, Sequence

from billow.act.traffic import Traffic
from billow.capabilities.placement.plan import Chooser, choose
from billow.capabilities.placement.policy import PlacementPolicy
from billow.errors import Blocked, Conflict, NotFound
from billow.model.assessment import Assessment
from billow.model.event import EventKind
from billow.model.migration import Migration, MigrationState, thinned
from billow.model.plan import Rejection
from billow.model.pool import Pool
from billow.model.run import Flow
from billow.plan.drain import Home
from billow.ports import Assessor, Canceller, Clock, Engine
from billow.sense.collect import Collector
from billow.store.store import Store

MOST_TOLD = 10_000
"""Events of one migration that are read for its curve: more than an hour of them."""
PATIENCE_S, LOOK_EVERY_S = 10.0, 0.1
"""How long the journal is waited for after a cancel, and how often it is asked."""


class Migrations:
    """The live migrations of a pool."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        collector: Collector,
        clock: Clock,
        traffic: Traffic,
    ) -> None:
        self._clock = clock
        self._traffic = traffic
        self._store = store
        self._engine = engine
        self._collector = collector

    async def assess(self, instance: str, target: str = "") -> Assessment:
        """Measure a move of an instance; without a target, to where placement would move it.

        Raises:
            NotFound: no such instance or host.
            Blocked: no other host takes it.
            EngineError: it could not be measured.
        """
        pool = await self._collector.last()
        pool.instance_row(instance)
        target = target or elsewhere(pool, instance)[0]
        pool.host_row(target)
        if isinstance(self._engine, Assessor):
            return await self._engine.assess(instance, target)
        raise Blocked(f"the engine {self._engine.name} cannot assess moves", code="no-assessor")

    async def one(self, migration_id: str) -> Migration:
        """Return a migration by its action's id. Raises NotFound."""
        return await self._store.migration(migration_id)

    async def page(
        self,
        *,
        limit: int = 50,
        before: str = "",
        run: str = "",
        instance: str = "",
        running: bool = False,
    ) -> Sequence[Migration]:
        """Return migrations, newest first. See `Moves.migrations`."""
        return await self._store.migrations(
            limit=limit, before=before, run=run, instance=instance, running=running
        )

    async def curve(self, migration_id: str) -> Sequence[Flow]:
        """Return how a migration went, oldest first, in 200 points at most."""
        subject = f"migration/{migration_id}"
        events = await self._store.events(subject=subject, limit=MOST_TOLD)
        told = [each.flow for each in events if each.kind is EventKind.STEP_PROGRESS and each.flow]
        return thinned(told)

    async def cancel(self, migration_id: str) -> Migration:
        """Take a migration back: its instance stays where it was, and runs.

        One that waits for room on its links does not begin; one that is under way is taken back.

        Raises:
            NotFound: no such migration.
            Conflict: it is neither, or it can no longer be taken back.
            Blocked: its engine takes nothing back.
        """
        known = await self._store.migration(migration_id)
        if known.state is MigrationState.WAITING and self._traffic.withdraw(migration_id):
            known = await self._beyond(migration_id, MigrationState.WAITING)
            if known.state is MigrationState.CANCELLED:
                return known
        if known.state is not MigrationState.RUNNING:
            raise _not_running(known)
        if not isinstance(self._engine, Canceller):
            raise Blocked(
                f"the engine {self._engine.name} takes nothing back",
                fix="wait for its end; the run's undo moves it back",
                code="no-canceller",
            )
        try:
            await self._engine.cancel(migration_id)
        except NotFound as error:
            raise Conflict(error.brief, error.details, "look again", "not-under-way") from error
        return await self._beyond(migration_id, MigrationState.RUNNING)

    async def _beyond(self, migration_id: str, state: MigrationState) -> Migration:
        """Return a migration when the journal knows it in another state, or after some seconds."""
        until = self._clock.now() + PATIENCE_S
        while True:
            known = await self._store.migration(migration_id)
            if known.state is not state or self._clock.now() >= until:
                return known
            await self._clock.sleep(LOOK_EVERY_S)


def elsewhere(pool: Pool, name: str) -> tuple[str, tuple[int, ...]]:
    """Return another host and NUMA nodes for an instance, as placement chooses. Raises Blocked."""
    found = choose(pool, pool.instance_row(name), PlacementPolicy())
    if isinstance(found, Rejection):
        raise Blocked(found.reason, found.causes, found.fix)
    return found.host, found.nodes


def homes(pool: Pool) -> Home:
    """Return who chooses other hosts for instances of a pool, one after the other, by placement."""
    chooser = Chooser(pool, PlacementPolicy())

    def home(name: str) -> tuple[str, tuple[int, ...]]:
        found = chooser.choose(pool.instance_row(name))
        if isinstance(found, Rejection):
            raise Blocked(found.reason, found.causes, found.fix)
        return found.host, found.nodes

    return home


def rooms(
    pool: Pool, instances: Sequence[str], closed: Mapping[str, Collection[str]]
) -> Mapping[str, str]:
    """Return a host for each instance that must leave its own, in their order, by placement.

    Args:
        pool: As it is.
        instances: Those that must leave, the most important first.
        closed: Hosts that are closed to each.
    """
    chooser = Chooser(pool, PlacementPolicy())
    found: dict[str, str] = {}
    for name in instances:
        if name in pool.instances.row:
            choice = chooser.choose(pool.instance_row(name), closed.get(name, ()))
            if not isinstance(choice, Rejection):
                found[name] = choice.host
    return found


def _not_running(known: Migration) -> Conflict:
    """Return why a migration cannot be cancelled that is not under way."""
    if known.state is MigrationState.WAITING:
        fix = f"billow run stop {known.run_id} lets it not begin"
    else:
        fix = f"billow undo {known.run_id} makes the plan that leads back"
    return Conflict(f"migration {known.id} is {known.state}", fix=fix, code="not-under-way")

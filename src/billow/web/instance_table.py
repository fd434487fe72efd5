# SPDX-License-Identifier: Apache-2.0
"""The table of instances as it is shown. Pool in, page out."""

from billow.model.instance import Instance
from billow.model.listing.instances import instance_grid
from billow.model.pool import Pool
from billow.web.listing import Address, Page, cut

FILTERS = ("q", "state", "kind", "service", "migration", "disk", "host", "group", "tenant", "image")


def page_of(pool: Pool, at: Address) -> tuple[Page, list[Instance]]:
    """Return the asked page of instances. Linear in NumPy; Python only for the rows shown."""
    page = cut(at, instance_grid(pool), FILTERS)
    return page, views(pool, page.rows)


def views(pool: Pool, rows: tuple[int, ...]) -> list[Instance]:
    """Return some rows of the instance table as values."""
    return [pool.instances.view(row, pool.shapes, pool.hosts.id) for row in rows]

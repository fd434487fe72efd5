# SPDX-License-Identifier: Apache-2.0
"""The report as a document with a stable schema: `format` and `version` change with a meaning."""

from collections.abc import Mapping
from typing import Final

from billow.model.document import Document, written
from billow.openstack.overview import Overview, Section

FORMAT: Final = "billow-cloud-report"
VERSION: Final = 1


def overview_document(view: Overview, took_s: Mapping[str, float]) -> Document:
    """Return the report as JSON has it.

    `took_s` says what took how long: to `look` at the cloud, to `think` about it.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "cloud": view.name,
        "taken_at": view.taken_at,
        "took_s": {name: round(seconds, 3) for name, seconds in took_s.items()},
        "hosts": view.hosts,
        "instances": view.instances,
        "totals": written(view.totals),
        "heat": written(view.heat),
        "sections": [section_document(each) for each in view.sections],
        "gaps": written(view.gaps),
    }


def section_document(section: Section) -> Document:
    """Return one section, as a report of the API is."""
    return {
        "key": section.key,
        "report": written(section.report),
        "after": written(section.after) if section.after else None,
    }

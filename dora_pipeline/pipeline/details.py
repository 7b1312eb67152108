"""All that one publication of the warehouse knows of a deployment or a failure."""

from collections.abc import Mapping

import duckdb

from dora_pipeline.identifiers import EventType
from dora_pipeline.pipeline.report_queries import filled
from dora_pipeline.report.details import EventDetails
from dora_pipeline.warehouse.queries import named_rows

# The tables of a page, the event itself first, and the queries that give them.
_TABLES: Mapping[EventType, Mapping[str, str]] = {
    "deployment": {
        "deployment": "details.deployment",
        "commits": "details.deployment_commits",
        "changes": "details.deployment_changes",
        "failures": "details.deployment_failures",
        "duplicates": "details.deployment_duplicates",
    },
    "failure": {"failure": "details.failure"},
}


def detail_queries(event_type: EventType, event_id: str) -> dict[str, str]:
    """The SQL of each table of the page of an event."""
    options = {"event_id": event_id}
    return {name: filled(query, options) for name, query in _TABLES[event_type].items()}


def event_details(connection: duckdb.DuckDBPyConnection, event_type: EventType, event_id: str) -> EventDetails | None:
    """The tables of the page of an event; None where the publication has no event of the id."""
    tables = {}
    for name, text in detail_queries(event_type, event_id).items():
        tables[name] = named_rows(connection, text)
        if not tables[event_type]:
            return None
    return EventDetails(event_type, event_id, tables)

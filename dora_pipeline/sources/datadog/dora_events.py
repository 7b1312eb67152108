"""Events of Datadog's lists, in the words of those that are sent to our own intake; their rules are the same.

Lists may hold `service`, `env` and `team` in arrays. A row has one env and one team: of several, each is a tag
`env:…` or `team:…` and the column is NULL.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from dora_pipeline.identifiers import without_credentials
from dora_pipeline.sources.raw import SENT_SCHEMA
from dora_pipeline.timeline import InstantError, instant

# How programs in Go write a time that is not set.
_UNSET = "0001-01-01T00:00:00Z"
_TIMES = ("started_at", "finished_at", "created_at")


def wire_moment(event: Mapping[str, Any], name: str) -> datetime | None:
    """A time of an event in UTC; None where it is missing, unset or cannot be read."""
    attributes = event.get("attributes")
    try:
        return instant(attributes.get(name)) if isinstance(attributes, dict) else None
    except InstantError:
        return None


def event_records(records: pl.DataFrame) -> pl.DataFrame:
    """Events of a list (`raw.PULLED_SCHEMA`) as our own intake would have kept them (`raw.SENT_SCHEMA`).

    One that is gone at the source gives nothing.
    """
    rows = []
    for record in records.filter(pl.col("state") != "gone").iter_rows(named=True):
        event = json.loads(record["body"])
        # The list has when it received an event; what does not counts as received when it started.
        received_at = wire_moment(event, "created_at") or wire_moment(event, "started_at") or record["fetched_at"]
        attributes = without_credentials(json.dumps(_attributes(event)))
        rows.append(
            (record["record_id"], received_at, record["fetched_at"], False, attributes, None, 0, True, None, "{}")
        )
    return pl.DataFrame(rows, schema=SENT_SCHEMA, orient="row")


def _attributes(event: Mapping[str, Any]) -> object:
    """The attributes of an event of a list, in the words of one that is sent."""
    attributes = event.get("attributes")
    if not isinstance(attributes, dict):
        return attributes
    fields = {name: value for name, value in attributes.items() if name not in _TIMES or value != _UNSET}
    for name in ("service", "env", "team"):
        values = fields.get(name)
        if isinstance(values, list) and len(values) <= 1:
            fields[name] = values[0] if values else None
    tags = fields.get("custom_tags") or []
    for name in ("env", "team"):
        values = fields.get(name)
        if isinstance(values, list) and isinstance(tags, list):
            fields[name], tags = None, [*tags, *(f"{name}:{value}" for value in values)]
    if fields.get("change_failure") is False:
        # The list says so of nearly every deployment: it is no mark.
        del fields["change_failure"]
    return fields | {"custom_tags": tags}

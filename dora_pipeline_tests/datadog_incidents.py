"""Incidents as Datadog's API tells them, and records of them as they lie in the raw layer."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.sources.datadog import DATADOG_INCIDENTS
from dora_pipeline.sources.raw import PULLED_SCHEMA

FIXTURES = Path(__file__).parent / "fixtures" / "datadog"
FETCHED = datetime(2026, 3, 1, tzinfo=UTC)
# 2026-02-01T10:00:00Z
TEN = 1_769_940_000


def moment(seconds: int) -> datetime:
    """The instant that many seconds after ten o'clock of the first of February."""
    return datetime.fromtimestamp(TEN + seconds, UTC)


def spans(*told: tuple[int, int | None]) -> dict[str, Any]:
    """The spans of one state, in seconds after ten o'clock; `duration` is left wrong on purpose."""
    return {
        "duration": 99_999,
        "spans": [{"start": TEN + start, "end": None if end is None else TEN + end} for start, end in told],
    }


def incident(number: int = 1, *, fields: Mapping[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    """An incident that was active for ten minutes and is resolved; `attributes` change it."""
    created = moment(0).isoformat()
    told = {
        "public_id": number,
        "title": "Shop is down",
        "created": created,
        "modified": created,
        "declared": created,
        "detected": created,
        "resolved": moment(600).isoformat(),
        "archived": None,
        "is_test": False,
        "state": "resolved",
        "severity": "SEV-2",
        "fields": {"services": {"type": "autocomplete", "value": ["shop"]}, **(fields or {})},
        "field_analytics": {"state": {"active": spans((0, 600)), "resolved": spans((600, None))}},
    }
    return {"id": f"incident-{number}", "type": "incidents", "attributes": told | attributes}


def states(**told: Mapping[str, Any]) -> dict[str, Any]:
    """`field_analytics` with the spans of each state."""
    return {"state": told}


def records(*incidents: Mapping[str, Any], state: str = "present") -> pl.DataFrame:
    rows = [(each["id"], FETCHED, FETCHED, state, json.dumps(each)) for each in incidents]
    return pl.DataFrame(rows, schema=PULLED_SCHEMA, orient="row")


def failure_rows(
    *incidents: Mapping[str, Any], settings: Settings | None = None, state: str = "present"
) -> list[dict[str, Any]]:
    """The rows that incidents become, none of them rejected."""
    normalized = DATADOG_INCIDENTS.reader().normalize(
        records(*incidents, state=state), settings or Settings(), Catalog({})
    )
    assert normalized.rejected.rows() == []
    return normalized.events.to_dicts()


def rejects(*incidents: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rejects that incidents become, none of them a row."""
    normalized = DATADOG_INCIDENTS.reader().normalize(records(*incidents), Settings(), Catalog({}))
    assert normalized.events.rows() == []
    return normalized.rejected.to_dicts()


def recorded(name: str) -> list[dict[str, Any]]:
    """Recorded pairs of request and answer: method, path, request, status, response."""
    pairs: list[dict[str, Any]] = json.loads((FIXTURES / name).read_text(encoding="utf-8"))
    return pairs

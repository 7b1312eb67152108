"""Rejected records as rows of `landing.rejected_events`."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.sources.apm.faults import Fault, json_payload
from dora_pipeline.sources.apm.settings import SOURCE
from dora_pipeline.tables import LandedRejects, empty_frame
from dora_pipeline.timeline import EPOCH, day_of


def rejected_frame(
    name: str, faults: Iterable[Fault], unusable: pl.DataFrame, detected_at: datetime, settings: Settings
) -> pl.DataFrame:
    """The columns of `landing.rejected_events` but `input`, sorted by record.

    One row for each fault of the file of that name and each row of unusable records (`compaction.UNUSABLE_SCHEMA`),
    with the first of its records as it came.
    """
    schema = {name: kind for name, kind in empty_frame(LandedRejects).schema.items() if name != "input"}
    rows = [
        {
            "source": SOURCE,
            "event_type": "deployment",
            "detected_at": detected_at,
            "day": day_of(fault.occurred_at or detected_at, settings.zone),
            "record": fault.record,
            "reason": fault.reason,
            "service": fault.service,
            "env": settings.environment(fault.env),
            "team": fault.team,
            "occurred_at": fault.occurred_at,
            "payload": json_payload({"file": name} | dict(fault.shown)),
            "records": fault.records,
        }
        for fault in (*faults, *_faults(unusable, detected_at, settings))
    ]
    return pl.DataFrame(rows, schema=schema, orient="row").sort("record", "reason", "payload")


def _faults(unusable: pl.DataFrame, detected_at: datetime, settings: Settings) -> Iterator[Fault]:
    for row in unusable.iter_rows(named=True):
        occurred_at = None if row["first"] is None else EPOCH + timedelta(microseconds=row["first"])
        day: date = day_of(occurred_at or detected_at, settings.zone)
        digest = hashlib.sha256(json.dumps([row["service"], row["env"]]).encode()).hexdigest()[:16]
        record = row["place"] if row["records"] == 1 else f"{row['reason']}/{digest}/{day}"
        shown = json.loads(row["shown"])
        yield Fault(
            record,
            row["reason"],
            shown,
            service=row["service"],
            env=row["env"],
            occurred_at=occurred_at,
            records=row["records"],
        )

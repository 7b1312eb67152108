"""Homes with very many deployments, a second apart, told through each of the doors."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, DEPLOYMENTS_BY_EVENT, TestHome
from dora_pipeline_tests.vendors.datadog import FakeDatadog
from dora_pipeline_tests.vendors.server import Asked, Reply

FIRST = datetime(2024, 5, 6, tzinfo=UTC)
_RECEIVED = datetime(2024, 6, 1, tzinfo=UTC)
_SERVICES = 200
_BATCH = 10_000


def drop_export(home: TestHome, count: int) -> None:
    """A Parquet export with the first sightings of so many versions."""
    home.select("deployment", *DEPLOYMENTS_BY_APM)
    path = home.home.path / "exports" / "apm" / "sightings.parquet"
    path.parent.mkdir(parents=True)
    sightings = pa.table(
        {
            "timestamp": pa.array(_moments(count), pa.timestamp("us", "UTC")),
            "service": [f"s{number % _SERVICES}" for number in range(count)],
            "env": ["prod"] * count,
            "version": [f"v{number}" for number in range(count)],
        }
    )
    pq.write_table(sightings, path)


def send(home: TestHome, count: int) -> None:
    """So many deployments in the intake's store."""
    home.select("deployment", *DEPLOYMENTS_BY_EVENT)
    told = _attributes(count)
    with EventStore.at(home.home) as store:
        for start in range(0, count, _BATCH):
            store.append_many("deployment", told[start : start + _BATCH], received_at=_RECEIVED)


@contextmanager
def pulling(home: TestHome, count: int) -> Iterator[None]:
    """A Datadog on loopback that knows so many deployments, for as long as the block lasts."""
    told = [
        {"id": f"event-{number}", "type": "dora_deployment", "attributes": attributes}
        for number, attributes in enumerate(_attributes(count))
    ]
    moments = _moments(count)

    def page(asked: Asked) -> Reply:
        wanted = asked.body["data"]["attributes"]
        first = bisect_left(moments, datetime.fromisoformat(wanted["from"]))
        last = bisect_right(moments, datetime.fromisoformat(wanted["to"]))
        return Reply({"data": told[max(first, last - wanted["limit"]) : last][::-1]})

    home.select("deployment", *DEPLOYMENTS_BY_EVENT, at=FIRST)
    with FakeDatadog() as vendor:
        home.settings(datadog={"api_url": vendor.url}, sources={"deployment_event_api": {"pull_from_datadog": True}})
        vendor.answer("POST", "/api/v2/dora/deployments", page)
        yield


def _moments(count: int) -> list[datetime]:
    return [FIRST + timedelta(seconds=number) for number in range(count)]


def _attributes(count: int) -> list[dict[str, Any]]:
    return [
        {
            "service": f"s{number % _SERVICES}",
            "env": "prod",
            "version": f"v{number}",
            "started_at": moment.isoformat(),
            "finished_at": moment.isoformat(),
        }
        for number, moment in enumerate(_moments(count))
    ]

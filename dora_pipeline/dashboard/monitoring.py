"""`/metrics`: current values for machines that watch, in the text format of OpenMetrics."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import duckdb
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dora_pipeline.dashboard.publications import Publication, publications_of
from dora_pipeline.pipeline.gauges import Row, watched_services, watched_sources, watched_tables

_SERVICE = ("service", "env")
_SOURCE = ("event_type", "source")


async def send_gauges(request: Request) -> Response:
    """The values of the newest publication; they change with the next one only."""
    publications = publications_of(request)
    identity = publications.identity()
    known_identity, text = getattr(request.app.state, "gauges", (None, b""))
    if known_identity != identity:
        text = await publications.ask(_text)
        request.app.state.gauges = identity, text
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _text(connection: duckdb.DuckDBPyConnection, _publication: Publication) -> bytes:
    services, sources = watched_services(connection), watched_sources(connection)
    tables = watched_tables(connection)
    registry = CollectorRegistry()
    registry.register(
        _Gauges(
            _gauge("dora_deployments", "Deployments that count, of all days.", _SERVICE, services, "deployments"),
            _gauge("dora_open_failures", "Failures that are open.", _SERVICE, services, "open_failures"),
            _moment("dora_newest_deployment", "End of the newest one.", _SERVICE, services, "newest_deployment_at"),
            _moment("dora_newest_failure", "Start of the newest one.", _SERVICE, services, "newest_failure_at"),
            _moment("dora_source_newest_event", "Newest event.", _SOURCE, sources, "newest_event_at"),
            _moment("dora_source_read", "Last reading without an error.", _SOURCE, sources, "read_at"),
            _gauge("dora_stale_days", "Days that are not loaded yet.", ("table_name",), tables, "stale_days"),
            _moment("dora_last_run", "When the last run published.", (), tables[:1], "last_run_at"),
        )
    )
    return bytes(generate_latest(registry))  # type: ignore[no-untyped-call]  # the library has it untyped


class _Gauges(Collector):
    def __init__(self, *gauges: Metric) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        return self._gauges


def _gauge(
    name: str, text: str, labels: Sequence[str], rows: Sequence[Row], column: str, unit: str = ""
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=labels, unit=unit)
    for row in rows:
        value = row[column]
        if value is not None:
            number = value.timestamp() if isinstance(value, datetime) else value
            gauge.add_metric([row[label] for label in labels], number)
    return gauge


def _moment(name: str, text: str, labels: Sequence[str], rows: Sequence[Row], column: str) -> GaugeMetricFamily:
    """An instant in seconds since 1970; no sample where there is none."""
    return _gauge(f"{name}_timestamp_seconds", text, labels, rows, column, "seconds")


ROUTES = [Route("/metrics", send_gauges, methods=["GET"])]

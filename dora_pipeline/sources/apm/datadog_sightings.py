"""Sightings of versions from APM, pulled: documents of Datadog's that the reader of exports understands.

The hits of trace metrics by service, env and version tell each version by the minute. Where no trace metric reported,
indexed spans are read in their place; they are a sample, so that a version may be seen late in them.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from dora_pipeline.config import Settings, secrets
from dora_pipeline.errors import SourceIncomplete
from dora_pipeline.sources.apm.settings import SOURCE
from dora_pipeline.sources.datadog.api import datadog_client, items_problem, wire_time
from dora_pipeline.sources.datadog.settings import SECRETS
from dora_pipeline.sources.http import HttpClient
from dora_pipeline.sources.source import Note
from dora_pipeline.timeline import EPOCH

_HITS = re.compile(r"trace\.[A-Za-z0-9_.]+\.hits")
# A day of minutes is below the points that a series may have, so the server does not choose a longer interval.
_SLICE, _INTERVAL = timedelta(days=1), timedelta(minutes=1)
_SPANS_A_PAGE = 1000

Document = dict[str, Any]


def fetch_sightings(settings: Settings, note: Note, day_first: datetime, day_last: datetime) -> list[Document]:
    """Answers of Datadog's with versions seen at `day_first` or later and before `day_last` (UTC), as they came.

    Answers that tell of none are left out. Raises ConfigError where a key is missing, and SourceError.
    """
    scopes = "metrics_read, timeseries_query and apm_read"
    with closing(datadog_client(SOURCE, scopes, settings, secrets(SECRETS, SOURCE), note)) as client:
        names = _hit_metrics(client, day_first)
        if names:
            return [answer for name in names for answer in _hits(client, name, day_first, day_last)]
        note(f"{SOURCE}: no metric trace.*.hits reported since {day_first:%Y-%m-%d}; reads indexed spans, a sample")
        return list(_spans(client, day_first, day_last))


def _hit_metrics(client: HttpClient, since: datetime) -> list[str]:
    answer = client.get("/api/v1/metrics", {"from": int(since.timestamp())}, check=_metrics_problem)
    return sorted(name for name in answer["metrics"] if isinstance(name, str) and _HITS.fullmatch(name))


def _hits(client: HttpClient, name: str, first: datetime, last: datetime) -> Iterator[Document]:
    query = {
        "name": "hits",
        "data_source": "metrics",
        "query": f"sum:{name}{{*}} by {{service,env,version}}.as_count()",
    }
    while first < last:
        end = min(first + _SLICE, last)
        attributes = {
            "formulas": [{"formula": "hits"}],
            "queries": [query],
            "from": _milliseconds(first),
            "to": _milliseconds(end),
            "interval": _INTERVAL // timedelta(milliseconds=1),
        }
        body = {"data": {"type": "timeseries_request", "attributes": attributes}}
        answer = client.post("/api/v2/query/timeseries", body, check=_series_problem)
        if answer["data"]["attributes"]["series"]:
            yield answer
        first = end


def _spans(client: HttpClient, first: datetime, last: datetime) -> Iterator[Document]:
    seen: set[str] = set()
    page: dict[str, object] = {"limit": _SPANS_A_PAGE}
    while True:
        attributes = {
            "filter": {"query": "version:*", "from": wire_time(first), "to": wire_time(last)},
            "page": page,
            "sort": "timestamp",
        }
        body = {"data": {"type": "search_request", "attributes": attributes}}
        answer = client.post("/api/v2/spans/events/search", body, check=lambda page: items_problem(page, "data"))
        if answer["data"]:
            yield answer
        cursor = ((answer.get("meta") or {}).get("page") or {}).get("after")
        if not cursor or not answer["data"]:
            return
        if cursor in seen:
            raise SourceIncomplete(
                SOURCE, "the search of spans repeats a page; nothing was taken from it; run again later"
            )
        seen.add(cursor)
        page = {"limit": _SPANS_A_PAGE, "cursor": cursor}


def _metrics_problem(answer: Any) -> str | None:
    is_list = isinstance(answer, Mapping) and isinstance(answer.get("metrics"), list)
    return None if is_list else "no list of metrics"


def _series_problem(answer: Any) -> str | None:
    if isinstance(answer, Mapping) and answer.get("errors"):
        return f"errors in place of series: {answer['errors']}"
    if wrong := items_problem(answer, "data", "attributes", "series"):
        return wrong
    attributes = answer["data"]["attributes"]
    is_whole = isinstance(attributes.get("times"), list) and isinstance(attributes.get("values"), list)
    return None if is_whole else "series without times and values"


def _milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)

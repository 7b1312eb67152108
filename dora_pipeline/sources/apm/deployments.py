"""Ready deployment events of an export, as rows of `landing.deployments`.

Datadog tells more of each (its type, its commits, its own judgement of failure); that is computed here by rules of our
own, so it is left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import repository_id, version_of
from dora_pipeline.sources.apm.documents import Told
from dora_pipeline.sources.apm.faults import Fault, fault_at
from dora_pipeline.sources.apm.settings import SOURCE
from dora_pipeline.tables import LandedDeployments, empty_frame
from dora_pipeline.timeline import FUTURE_TOLERANCE, InstantError, day_of, instant

_ID_PREFIX = "apm:"
_SHORTEST_SHA = 7
Row = Mapping[str, object]


class _Unusable(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def deployment(told: Told, modified_at: datetime, settings: Settings) -> Row | Fault:
    """The row of an event, or why there is none. What happens after the file was written cannot be told by it."""
    attributes = told.item["attributes"]
    assert isinstance(attributes, dict)
    service, started_at = None, None
    try:
        service = _text(attributes, "service")
        if service is None:
            raise _Unusable("service_missing")
        started_at = _moment(attributes, "started_at", modified_at)
        if started_at is None:
            raise _Unusable("time_missing")
        finished_at = _moment(attributes, "finished_at", modified_at) or started_at
        if finished_at < started_at:
            raise _Unusable("finished_before_started")
        env = settings.environment(_text(attributes, "env"))
        return {
            "source": SOURCE,
            "deployment_id": _id(told.item, service, env, started_at),
            "service": service,
            "env": env,
            "version": version_of(_text(attributes, "version")),
            "team": _text(attributes, "team"),
            **_git(attributes.get("git")),
            "started_at": started_at,
            "finished_at": finished_at,
            "custom_tags": _tags(attributes.get("custom_tags")),
            **_verdict(attributes),
            "received_at": started_at,
            "day": day_of(finished_at, settings.zone),
        }
    except _Unusable as problem:
        fault = fault_at(told.place, problem.reason, record=told.item)
        return replace(fault, service=service, occurred_at=started_at)


def deployment_frame(rows: Iterable[Row]) -> pl.DataFrame:
    """Rows as a frame with the columns of `landing.deployments` but `input`, sorted by id.

    Of several rows with one id, as the pages of a list overlap, the last in the file counts.
    """
    schema = {name: kind for name, kind in empty_frame(LandedDeployments).schema.items() if name != "input"}
    latest = {str(row["deployment_id"]): row for row in rows}
    return pl.DataFrame([latest[name] for name in sorted(latest)], schema=schema, orient="row")


def _id(item: Row, service: str, env: str | None, started_at: datetime) -> str:
    own = _text(item, "id")
    return _ID_PREFIX + (own or f"{service}/{env or ''}/{started_at.replace(microsecond=0).isoformat()}")


def _text(fields: Row, name: str) -> str | None:
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and name in ("version", "id"):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise _Unusable("field_type")
    return (value or "").strip() or None


def _moment(fields: Row, name: str, modified_at: datetime) -> datetime | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        moment = instant(value)
    except InstantError as error:
        raise _Unusable(error.reason) from error
    if moment > modified_at + FUTURE_TOLERANCE:
        raise _Unusable("time_in_future")
    return moment


def _verdict(attributes: Row) -> dict[str, str | bool | None]:
    failed, told = attributes.get("change_failure"), attributes.get("remediation")
    remediation = told if isinstance(told, dict) else {}
    return {
        "change_failure": failed if isinstance(failed, bool) else None,
        "remediation_id": _text(remediation, "id"),
        "remediation_type": _text(remediation, "type"),
    }


def _git(told: object) -> dict[str, str | None]:
    fields = told if isinstance(told, dict) else {}
    sha, url = fields.get("commit_sha"), fields.get("repository_id") or fields.get("repository_url")
    sha = sha.strip().lower() if isinstance(sha, str) else ""
    is_sha = len(sha) >= _SHORTEST_SHA and all(letter in "0123456789abcdef" for letter in sha)
    return {
        "repository_id": repository_id(url) if isinstance(url, str) else None,
        "commit_sha": sha if is_sha else None,
    }


def _tags(told: object) -> list[str]:
    if told is None:
        return []
    if not isinstance(told, list) or not all(isinstance(tag, str) for tag in told):
        raise _Unusable("field_type")
    return [tag.strip() for tag in told if tag.strip()]

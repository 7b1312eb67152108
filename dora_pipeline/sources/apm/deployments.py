"""Ready deployments of APM, those of exports and those that Datadog lists: records in the words of the intake.

Datadog tells more of each (its type, its commits, its own judgement of failure); that is computed here by rules of our
own, so it is left out.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import polars as pl

from dora_pipeline.config import Settings
from dora_pipeline.identifiers import COMMIT_SHA, repository_id, version_of
from dora_pipeline.sources.apm.documents import ReadyEvent
from dora_pipeline.sources.apm.faults import Fault, fault_at
from dora_pipeline.sources.apm.settings import ID_PREFIX, SOURCE
from dora_pipeline.sources.datadog.dora_events import event_records
from dora_pipeline.sources.event_api.deployments import normalize_deployments
from dora_pipeline.sources.raw import SENT_SCHEMA
from dora_pipeline.sources.source import Normalized
from dora_pipeline.timeline import FUTURE_TOLERANCE, InstantError, instant

Row = Mapping[str, object]


class _Unusable(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def deployment_record(event: ReadyEvent, modified_at: datetime, settings: Settings) -> Row | Fault:
    """The record of an event, or why there is none. What happens after the file was written cannot be told by it.

    A record has the columns of SENT_SCHEMA (`raw.py`) that say something, its fields in the words of the intake. One
    without an id is named by its service, env and second.
    """
    attributes = event.item["attributes"]
    assert isinstance(attributes, dict)
    service, started_at = None, None
    try:
        service = _text(attributes, "service")
        if service is None:
            raise _Unusable("service_missing")
        started_at = _moment(attributes, "started_at", modified_at)
        if started_at is None:
            raise _Unusable("time_missing")
        finished_at = _moment(attributes, "finished_at", modified_at)
        if finished_at is not None and finished_at < started_at:
            raise _Unusable("finished_before_started")
        env, own_id = _text(attributes, "env"), _text(event.item, "id")
        fields = {
            "service": service,
            "env": env,
            "version": version_of(_text(attributes, "version")),
            "team": _text(attributes, "team"),
            "git": _git(attributes.get("git")),
            "started_at": started_at.isoformat(),
            "finished_at": finished_at and finished_at.isoformat(),
            "custom_tags": _tags(attributes.get("custom_tags")),
            **_verdict(attributes),
        }
        name = own_id or f"{service}/{settings.environment(env) or ''}/{started_at.replace(microsecond=0).isoformat()}"
        return {
            "record_id": ID_PREFIX + name,
            "is_named": own_id is not None,
            "received_at": started_at,
            "changed_at": modified_at,
            "is_deleted": False,
            "attributes": json.dumps({name: value for name, value in fields.items() if value not in (None, [], {})}),
            "history": "{}",
        }
    except _Unusable as problem:
        fault = fault_at(event.place, problem.reason, record=event.item)
        env, team = _readable(attributes.get("env")), _readable(attributes.get("team"))
        return replace(fault, service=service, env=env, team=team, occurred_at=started_at)


def deployment_frame(rows: Iterable[Row]) -> pl.DataFrame:
    """Records as a frame with the columns of SENT_SCHEMA, `sequence` counts them."""
    numbered = [{**row, "sequence": sequence} for sequence, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=SENT_SCHEMA, orient="row")


def listed_deployments(records: pl.DataFrame) -> pl.DataFrame:
    """Deployments of Datadog's list as `event_records`, under the ids of this source."""
    return event_records(records).with_columns(record_id=ID_PREFIX + pl.col("record_id"))


def normalize_apm_deployments(records: pl.DataFrame, settings: Settings) -> Normalized:
    """As deployments of the Event API, which they are in all but that they have no length."""
    return normalize_deployments(records, settings, source=SOURCE, has_length=False)


def _text(fields: Row, name: str) -> str | None:
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and name in ("version", "id"):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise _Unusable("field_type")
    return (value or "").strip() or None


def _readable(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


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


def _verdict(attributes: Row) -> dict[str, object]:
    remediation = attributes.get("remediation")
    remediation = remediation if isinstance(remediation, dict) else {}
    named = {name: text for name in ("id", "type") if (text := _text(remediation, name))}
    # Datadog says false of nearly every deployment: it is no mark.
    return {"change_failure": attributes.get("change_failure") is True or None, "remediation": named}


def _git(git: object) -> dict[str, str]:
    fields = git if isinstance(git, dict) else {}
    sha, url = fields.get("commit_sha"), fields.get("repository_id") or fields.get("repository_url")
    sha = sha.strip().lower() if isinstance(sha, str) else ""
    repository = repository_id(url) if isinstance(url, str) else None
    commit = {"commit_sha": sha} if re.fullmatch(COMMIT_SHA, sha) else {}
    return commit if repository is None else commit | {"repository_url": repository}


def _tags(tags: object) -> list[str]:
    if tags is None:
        return []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise _Unusable("field_type")
    return [tag.strip() for tag in tags if tag.strip()]

"""Incidents of Datadog's as failures: one row per incident and impacted service.

Every declared incident is a failure, whatever its severity and also where no service is named; test incidents and
archived ones are none.
"""

import json
from collections.abc import Iterator, Mapping

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.sources.datadog.api import app_url
from dora_pipeline.sources.datadog.incident_times import (
    Restore,
    incident_moment,
    restore_of_incident,
    start_of_incident,
)
from dora_pipeline.sources.datadog.settings import SOURCE
from dora_pipeline.sources.event_rules import Unusable, judged_failures
from dora_pipeline.sources.source import Normalized

_SELECTS = ("dropdown", "multiselect", "autocomplete", "metrictag")
_OWN_FIELDS = (
    "severity",
    "state",
    "detection_method",
    "root_cause",
    "summary",
    "slug",
    "services",
    "teams",
    "envs",
    "env",
)


def normalize_incidents(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """Rows of `landing.failures`, and rejects, from incidents as they came (`pulls.PULLED_SCHEMA`).

    Of several teams or environments, which a row has no place for, each is a tag `team:…` or `env:…` and the column is
    NULL. An incident that is gone at the source counts as finished when that was noticed, without a time to restore
    unless it had one, and has the tag `record:gone`; one out of reach stays as it was last seen, tagged
    `record:no_access`.
    """
    rows = [row for record in records.iter_rows(named=True) if (row := _row(record, settings)) is not None]
    return judged_failures(rows, settings, source=SOURCE, id_prefix=f"{SOURCE}:")


def _row(record: Mapping[str, object], settings: Settings) -> dict[str, object] | None:
    incident = json.loads(str(record["body"]))
    attributes = incident.get("attributes")
    row: dict[str, object] = {
        "record_id": record["record_id"],
        "received_at": record["fetched_at"],
        "changed_at": record["fetched_at"],
        "attributes": record["body"],
    }
    if not isinstance(attributes, dict):
        return row | {"reason": "field_type"}
    if attributes.get("is_test") is True or attributes.get("archived"):
        return None
    try:
        started_at = start_of_incident(attributes)
        row["started_at"] = started_at
        row["received_at"] = incident_moment(attributes, "created") or started_at or record["fetched_at"]
        row |= _ended(restore_of_incident(attributes), record)
        return row | _labels(attributes, settings, str(record["state"]))
    except Unusable as problem:
        return row | {"reason": problem.reason}


def _ended(restore: Restore | None, record: Mapping[str, object]) -> dict[str, object]:
    if restore is not None:
        return {"finished_at": restore.finished_at, "time_to_restore_seconds": restore.seconds}
    return {"finished_at": record["fetched_at"]} if record["state"] == "gone" else {}


def _labels(attributes: Mapping[str, object], settings: Settings, state: str) -> dict[str, object]:
    fields = attributes.get("fields")
    fields = {} if fields is None else fields
    if not isinstance(fields, dict):
        raise Unusable("field_type")
    named = {name.lower(): field for name, field in fields.items()}
    teams = _values(named.get("teams"))
    named_envs = [settings.environment(env) for env in _values(named.get("envs") or named.get("env"))]
    envs = list(dict.fromkeys(env for env in named_envs if env))
    tags = [f"{name}:{value}" for name, value in _custom_values(fields)]
    tags += [
        f"{name}:{value}" for name, values in (("team", teams), ("env", envs)) if len(values) > 1 for value in values
    ]
    if state != "present":
        tags.append(f"record:{state}")
    severity = attributes.get("severity") or next(iter(_values(named.get("severity"))), None)
    number = attributes.get("public_id")
    return {
        "services": _values(named.get("services")),
        "env": envs[0] if len(envs) == 1 else None,
        "team": teams[0] if len(teams) == 1 else None,
        "name": _text(attributes.get("title")),
        "severity": _text(severity),
        "url": f"{app_url(settings)}/incidents/{number}" if type(number) is int else None,
        "custom_tags": tags,
    }


def _custom_values(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The values of the fields that the organisation added, and that are chosen from a list."""
    for name, field in fields.items():
        is_select = isinstance(field, dict) and field.get("type") in _SELECTS
        if is_select and name.lower() not in _OWN_FIELDS:
            yield from ((_clean(name), value) for value in _values(field))


def _values(field: object) -> list[str]:
    value = field.get("value") if isinstance(field, dict) else field
    items = value if isinstance(value, list) else [] if value is None else [value]
    texts = [_text(item) for item in items]
    return list(dict.fromkeys(text for text in texts if text is not None))


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Unusable("field_type")
    return _clean(value or "").strip() or None


def _clean(text: str) -> str:
    # Half of a cut emoji is not Unicode.
    return without_credentials(text.encode("utf-8", "replace").decode())

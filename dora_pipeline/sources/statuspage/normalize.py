"""Incidents of status pages as failures: one row per incident and impacted service."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.sources.event_rules import Unusable, judged_failures
from dora_pipeline.sources.source import Normalized
from dora_pipeline.sources.statuspage.settings import SOURCE, StatuspageSettings
from dora_pipeline.sources.statuspage.times import (
    Incident,
    is_over,
    readable_moment,
    updates_of,
    written_end,
    written_start,
)
from dora_pipeline.timeline import InstantError, instant

# `maintenance` is planned, so it is no failure at all. An impact that we do not know counts.
_IMPACTS = ("maintenance", "none", "minor", "major", "critical")


def normalize(records: pl.DataFrame, settings: Settings, catalog: Catalog) -> Normalized:
    """Rows of `landing.failures`, and rejects, from incidents as their pages showed them (PULLED_SCHEMA).

    Services are those of the components, by the settings, else by their names. An incident of less impact than the
    settings want, or of components that are none of ours only, is no failure. One that its page does not show any more
    while it was open ended when that was noticed, without a time to restore, and has the tag `record:gone`. What was
    read of a page stays when the settings do not name it any more: a page may have another address by now.
    """
    section = settings.section(SOURCE, StatuspageSettings)
    rows = [
        row
        for record in records.iter_rows(named=True)
        if (row := _row(record, json.loads(record["body"]), section, settings)) is not None
    ]
    return judged_failures(rows, settings, source=SOURCE, id_prefix=f"{SOURCE}:")


def _row(
    record: Mapping[str, Any], incident: Incident, section: StatuspageSettings, settings: Settings
) -> dict[str, object] | None:
    if _is_slight(incident, section):
        return None
    row: dict[str, object] = {
        "record_id": record["record_id"],
        "attributes": record["body"],
        "received_at": readable_moment(incident, "created_at") or record["fetched_at"],
        "changed_at": record["fetched_at"],
    }
    try:
        services = _services(incident, section)
        if services is None:
            return None
        row |= _times(incident, record)
        row |= {
            "services": services,
            "name": _text(incident.get("name")),
            "severity": _text(incident.get("impact")),
            "url": _url(incident),
            "custom_tags": _tags(incident, record),
        }
    except Unusable as problem:
        row["reason"] = problem.reason
    return row


def _is_slight(incident: Incident, section: StatuspageSettings) -> bool:
    impact = incident.get("impact")
    return impact in _IMPACTS and _IMPACTS.index(impact) < _IMPACTS.index(section.least_impact)


def _services(incident: Incident, section: StatuspageSettings) -> list[str] | None:
    """The impacted services, each once; None where all that is impacted is none of ours."""
    components = _components(incident)
    named = [_service(component, section) for component in components]
    services = list(dict.fromkeys(service for service in named if service))
    if named and not services:
        return None
    if not services and not (section.service or "").strip():
        raise Unusable("service_missing")
    return services or [str(section.service).strip()]


def _service(component: Incident, section: StatuspageSettings) -> str | None:
    name, component_id = _text(component.get("name")), component.get("id") or component.get("code")
    for key in (component_id, name):
        if isinstance(key, str) and key in section.components:
            return (section.components[key] or "").strip() or None
    if name is None:
        raise Unusable("service_missing")
    return name


def _components(incident: Incident) -> list[Incident]:
    """The components of an incident, without groups, which stand beside what they hold.

    Where an older page lists none, those that its updates name.
    """
    listed = incident.get("components")
    components = listed if isinstance(listed, list) else []
    if not components:
        affected = [update.get("affected_components") for update in updates_of(incident)]
        components = [component for some in affected if isinstance(some, list) for component in some]
    if not all(isinstance(component, Mapping) for component in components):
        raise Unusable("field_type")
    return [component for component in components if component.get("group") is not True]


def _times(incident: Incident, record: Mapping[str, Any]) -> dict[str, object]:
    start, end = written_start(incident), written_end(incident)
    if start is None:
        raise Unusable("time_missing")
    if is_over(incident) and end is None:
        raise Unusable("finish_missing")
    try:
        started_at = instant(start)
        finished_at = None if end is None else instant(end)
    except InstantError as error:
        raise Unusable(error.reason) from None
    times: dict[str, object] = {"started_at": started_at, "finished_at": finished_at}
    if finished_at is not None:
        times["time_to_restore_seconds"] = (finished_at - started_at).total_seconds()
    elif record["state"] == "gone":
        times["finished_at"] = record["fetched_at"]
    return times


def _tags(incident: Incident, record: Mapping[str, Any]) -> list[str]:
    tags = [f"page:{urlsplit(_page(incident)).netloc}"]
    return tags if record["state"] == "present" else [*tags, f"record:{record['state']}"]


def _url(incident: Incident) -> str:
    link = incident.get("shortlink")
    if isinstance(link, str) and link.startswith(("https://", "http://")):
        return without_credentials(link)
    return f"{_page(incident)}/incidents/{incident.get('id')}"


def _page(incident: Incident) -> str:
    return str(incident.get("page_url") or "")


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Unusable("field_type")
    # Half of a cut emoji is not Unicode.
    return without_credentials((value or "").encode("utf-8", "replace").decode()).strip() or None

"""What an incident impacts: services, team and environment, by the steps of Datadog's DORA Metrics for PagerDuty.

1. The tags of the Datadog monitor that raised it; what they leave open is looked for in the next steps.
2. The catalog's services with the URL of the PagerDuty service: one gives service and team, several their team.
3. The catalog's service with the name of the PagerDuty service: service and team.
4. The catalog's team with the name of the PagerDuty team.
5. The catalog's team with the name of the PagerDuty service.
6. The PagerDuty service and team as they are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dora_pipeline.catalog import Catalog, Service


@dataclass(frozen=True)
class Impact:
    """Services, none where only a team is known; team and environment where exactly one is named."""

    services: list[str]
    team: str | None
    env: str | None


class Impacts:
    """The steps over one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._services = catalog.services
        self._teams = {service.team for service in catalog.services.values() if service.team}
        self._by_address: dict[str, list[tuple[str, Service]]] = {}
        for service in catalog.services.values():
            host, pagerduty_id = _address(service.pagerduty_service_url)
            if pagerduty_id:
                self._by_address.setdefault(pagerduty_id, []).append((host, service))

    def of(self, incident: Mapping[str, Any]) -> Impact:
        """The impact of an incident as the REST API shows it."""
        tags = _monitor_tags(incident)
        services = list(dict.fromkeys(tags.get("service", [])))
        team, env = _only(tags.get("team", [])), _only(tags.get("env", []))
        if services:
            known = (self._services[name].team for name in services if name in self._services)
            return Impact(services, team or _only(known), env)
        named, owner = self._matched(incident)
        return Impact([named] if named else [], team or owner, env)

    def _matched(self, incident: Mapping[str, Any]) -> tuple[str | None, str | None]:
        service, team = _object(incident.get("service")), _only(_names(incident.get("teams")))
        linked = self._linked(service)
        if len(linked) == 1:
            return linked[0].name, linked[0].team
        if owner := _only(other.team for other in linked):
            return None, owner
        name = _name(service)
        if name and name in self._services:
            return name, self._services[name].team
        if team in self._teams:
            return None, team
        if name in self._teams:
            return None, name
        return name, team

    def _linked(self, service: Mapping[str, Any]) -> list[Service]:
        host, pagerduty_id = _address(service.get("html_url"))
        # A deleted service has an id and no address any more.
        candidates = self._by_address.get(pagerduty_id or str(service.get("id")), [])
        return [candidate for at, candidate in candidates if host in {"", at}]


def _address(url: object) -> tuple[str, str]:
    """Host and id: the page of a service was `/services/<id>` and is `/service-directory/<id>`."""
    try:
        parts = urlsplit(url.strip() if isinstance(url, str) else "")
        return (parts.hostname or "").lower(), parts.path.rstrip("/").rpartition("/")[2]
    except ValueError:
        return "", ""


def _monitor_tags(incident: Mapping[str, Any]) -> dict[str, list[str]]:
    """The tags `key:value` that Datadog sent with the first alert, by key."""
    channel = _object(_object(incident.get("first_trigger_log_entry")).get("channel"))
    form = _object(channel.get("cef_details"))
    if "Datadog" not in (channel.get("client"), form.get("client")):
        return {}
    details = _object(form.get("details")) or _object(channel.get("details"))
    tagged = details.get("tags") or _object(details.get("custom_details")).get("tags")
    tags: dict[str, list[str]] = {}
    for tag in tagged.split(",") if isinstance(tagged, str) else tagged if isinstance(tagged, list) else []:
        key, separator, value = str(tag).strip().partition(":")
        if separator and value.strip():
            tags.setdefault(key.strip(), []).append(value.strip())
    return tags


def _names(references: object) -> list[str | None]:
    return [_name(_object(reference)) for reference in references] if isinstance(references, list) else []


def _name(reference: Mapping[str, Any]) -> str | None:
    """The name of a reference, which has a summary only, or of a full object."""
    name = reference.get("name") or reference.get("summary")
    return name.strip() or None if isinstance(name, str) else None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _only(names: Iterable[str | None]) -> str | None:
    distinct = {name for name in names if name}
    return distinct.pop() if len(distinct) == 1 else None

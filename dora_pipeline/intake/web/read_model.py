"""Answers about events, in the words of Datadog's read model.

Times are RFC 3339 in UTC, env and team are texts, and URLs of repositories hold no credentials. What was stored with
another type than the wire's is left out. What does not belong here: refusals.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.responses import JSONResponse

from dora_pipeline.identifiers import repository_id, without_credentials
from dora_pipeline.intake.store.event import StoredEvent, StoredType
from dora_pipeline.timeline import InstantError, epoch_moment, instant

MEDIA_TYPE = "application/vnd.api+json"
TYPES: Mapping[StoredType, str] = {"deployment": "dora_deployment", "failure": "dora_failure"}
_TEXTS = ("name", "severity", "env", "team", "version")


class JsonApiResponse(JSONResponse):
    """JSON under the content type of JSON:API."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """ASCII, so that no stored text can make an answer impossible."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def receipt(event: StoredEvent) -> dict[str, Any]:
    """What a sender gets: the event's id."""
    return {"data": {"id": event.event_id, "type": TYPES[event.event_type]}}


def resource(event: StoredEvent) -> dict[str, Any]:
    """The event as readers get it."""
    of_type = _deployment if event.event_type == "deployment" else _failure
    shown = {**of_type(event.attributes), **_shared(event.attributes)}
    attributes = {name: value for name, value in shown.items() if value is not None}
    return {"id": event.event_id, "type": TYPES[event.event_type], "attributes": attributes}


def _deployment(attributes: Mapping[str, Any]) -> dict[str, Any]:
    failed = attributes.get("change_failure")
    value = attributes.get("remediation")
    # What ended a failure says nothing of a deployment that was marked as stable again.
    remediation = value if failed is True and isinstance(value, dict) else None
    return {
        "service": _text(attributes.get("service")),
        "change_failure": failed if isinstance(failed, bool) else None,
        "remediation": {name: remediation.get(name) for name in ("id", "type")} if remediation else None,
    }


def _failure(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"services": _texts(attributes.get("services") or attributes.get("service"))}


def _shared(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: _text(attributes.get(name)) for name in _TEXTS},
        "started_at": _time(attributes.get("started_at")),
        "finished_at": _time(attributes.get("finished_at")),
        "git": _git(attributes.get("git")),
        "custom_tags": _texts(attributes.get("custom_tags")),
    }


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _texts(value: object) -> list[str] | None:
    values: list[object] = value if isinstance(value, list) else [value]
    return [text for item in values if (text := _text(item))] or None


def _git(value: object) -> dict[str, str] | None:
    git = value if isinstance(value, dict) else {}
    url, sha = _text(git.get("repository_url")), _text(git.get("commit_sha"))
    if url is None or sha is None:
        return None
    url = without_credentials(url)
    return {"commit_sha": sha, "repository_id": repository_id(url) or url, "repository_url": url}


def _time(value: object) -> str | None:
    moment = _moment(value)
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _moment(value: object) -> datetime | None:
    try:
        return instant(value)
    except InstantError:
        if type(value) is not int:
            return None
    try:
        # Events outside the years 2000 to 2200 are rejected later; here they are shown as they came.
        return epoch_moment(value)
    except InstantError:
        return None

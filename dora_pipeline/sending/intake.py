"""An intake that events are sent to: ours, or any that speaks Datadog's wire."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from dora_pipeline.config import secret
from dora_pipeline.errors import ConfigError, DoraError, SourceError
from dora_pipeline.identifiers import EventType
from dora_pipeline.sending.open_failures import MOST, OpenFailure, open_ones
from dora_pipeline.sending.sent_events import Event
from dora_pipeline.sources.http import DatadogKeys, HttpClient, NotFound, Refused

_NAME = "intake"
# What is shorter may well be a slip of the fingers.
_SHORTEST_BEGINNING = 6
_CONNECTING, _SILENCE = 10.0, 15.0
# Proxies answer 404 while the server behind them starts; Datadog's own client sends again after it, too.
_PASSING = (404, 408, 425, 429)
_KEYS = (
    "check the key in DATADOG_API_KEY or else DD_API_KEY, where the intake is asked also that in DATADOG_APP_KEY or "
    "else DD_APP_KEY, and the address"
)


class NotStored(DoraError):
    """The server did not say that the event is stored. Sending it again later can help."""


class NotAllowed(NotStored):
    """The server does not know the key, or does not let it write. No other event would fare better."""


class EventRefused(NotStored):
    """The server does not take this event; sending it again without a change does not help."""


class IntakeClient:
    """The intake at an address, such as `https://dora.example:8443`.

    The key comes from DATADOG_API_KEY, or else DD_API_KEY; with `reads` also the one beside it, from DATADOG_APP_KEY or
    else DD_APP_KEY, which every method but `send` needs. `authority` is a file with the certificates of a private
    authority; `seconds` bound the sending of one event, retries included; `note` is told of longer waits.
    Raises ConfigError for a missing key, a wrong address and a file without certificates.
    """

    def __init__(
        self,
        address: str,
        *,
        seconds: float,
        note: Callable[[str], None],
        authority: Path | None = None,
        reads: bool = False,
    ) -> None:
        keys = [_key("API"), *([_key("APP")] if reads else [])]
        _check_certificates(authority)
        self._client = HttpClient(
            _NAME,
            address,
            DatadogKeys(*keys),
            secrets=keys,
            note=note,
            advice={401: _KEYS, 403: _KEYS},
            timeout=(_CONNECTING, _SILENCE),
            deadline_seconds=seconds,
            # An event that is asked for may not be there; one that is sent has no other place to go.
            passing=[status for status in _PASSING if not (reads and status == 404)],
            authority=str(authority) if authority else None,
            consequence="send it again later",
        )

    def send(self, event: Event) -> str:
        """The id under which the server has stored the event. Raises NotStored."""
        self._client.renew()
        try:
            answer = self._client.post(f"/api/v2/dora/{event.event_type}", event.body, check=_trouble)
        except Refused as error:
            kind = NotAllowed if error.status in {401, 403} else EventRefused
            raise kind(f"the {event.event_type} is not stored: {error}") from None
        except SourceError as error:
            raise NotStored(f"the {event.event_type} is not stored: {error}") from None
        event_id: str = answer["data"]["id"]
        return event_id

    def open_failures(self) -> list[OpenFailure]:
        """The open ones of the 1,000 failures that started last. Raises SourceError."""
        return open_ones([OpenFailure.of(item["id"], item["attributes"]) for item in self._listed("failure")])

    def failure(self, failure_id: str) -> OpenFailure:
        """The failure with an id, else the only open one whose id begins so. Raises SourceError where there is none."""
        try:
            answer = self._client.get(f"/api/v2/dora/failures/{quote(failure_id, safe='')}", check=_event_trouble)
        except NotFound as unknown:
            return self._begun(failure_id, unknown)
        found = OpenFailure.of(answer["data"]["id"], answer["data"]["attributes"])
        if found is None:
            raise NotStored(f"the failure {failure_id} has no start that can be read: send it again as it is")
        return found

    def _begun(self, beginning: str, unknown: NotFound) -> OpenFailure:
        if len(beginning) < _SHORTEST_BEGINNING:
            raise NotStored(f"{unknown}; a beginning of an id has {_SHORTEST_BEGINNING} letters or more") from None
        begun = [one for one in self.open_failures() if one.failure_id.startswith(beginning)]
        if len(begun) != 1:
            raise NotStored(
                f"{unknown}; the ids of {len(begun)} open failures begin so, and it takes a whole id, or the beginning "
                "of one alone; `dora failure list` shows them"
            ) from None
        return begun[0]

    def deployed(self, event: Event, event_id: str) -> dict[str, set[str]]:
        """Each `service` and `env` of the 1,000 newest deployments, and those of the event that other ones have.

        The event has the id, and counts as none. Raises SourceError.
        """
        found = self._listed("deployment")
        asked = [("service", service) for service in event.services] + ([("env", event.env)] if event.env else [])
        for name, value in asked:
            found += self._listed("deployment", f'{name}:"{_escaped(value)}"', 2)
        others = [item["attributes"] for item in found if item["id"] != event_id]
        return {name: {one.get(name, "") for one in others} - {""} for name in ("service", "env")}

    def _listed(self, event_type: EventType, query: str = "", limit: int = MOST) -> list[dict[str, Any]]:
        self._client.renew()
        attributes = {"query": query, "limit": limit} if query else {"limit": limit}
        body = {"data": {"type": f"dora_{event_type}s_list_request", "attributes": attributes}}
        answer = self._client.post(f"/api/v2/dora/{event_type}s", body, check=_list_trouble)
        found: list[dict[str, Any]] = answer["data"]
        return found

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _trouble(answer: Any) -> str | None:
    data = answer.get("data") if isinstance(answer, dict) else None
    event_id = data.get("id") if isinstance(data, dict) else None
    return None if isinstance(event_id, str) and event_id else "no id of a stored event"


def _key(kind: str) -> str:
    # Where the intake has an API key of its own, the other pair is of somebody else.
    owner = "DD" if _is_set("DD_API_KEY") and not _is_set("DATADOG_API_KEY") else "DATADOG"
    return secret(f"{owner}_{kind}_KEY", _NAME)


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _is_event(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("attributes"), dict)


def _event_trouble(answer: Any) -> str | None:
    return None if isinstance(answer, dict) and _is_event(answer.get("data")) else "no event"


def _list_trouble(answer: Any) -> str | None:
    items = answer.get("data") if isinstance(answer, dict) else None
    return None if isinstance(items, list) and all(map(_is_event, items)) else "no list of events"


def _check_certificates(authority: Path | None) -> None:
    try:
        ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ConfigError(
            f"{authority}: no certificates can be read from it ({error.strerror or error}); "
            "it must hold those of your authority as PEM"
        ) from None

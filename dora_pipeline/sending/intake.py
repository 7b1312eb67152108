"""An intake that events are sent to: ours, or any that speaks Datadog's wire."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from dora_pipeline.config import secret
from dora_pipeline.errors import ConfigError, DoraError, SourceError
from dora_pipeline.sending.events import Event
from dora_pipeline.sources.http import DatadogKeys, HttpClient, Refused

_NAME = "intake"
_CONNECTING, _SILENCE = 10.0, 15.0
# Proxies answer 404 while the server behind them starts; Datadog's own client sends again after it, too.
_PASSING = (404, 408, 425, 429)
_KEYS = "check the key in DD_API_KEY and the address"


class NotStored(DoraError):
    """The server did not say that the event is stored. Sending it again later can help."""


class NotAllowed(NotStored):
    """The server does not know the key, or does not let it write. No other event would fare better."""


class EventRefused(NotStored):
    """The server does not take this event; sending it again without a change does not help."""


class IntakeClient:
    """The intake at an address, such as `https://dora.example:8443`.

    The key comes from DATADOG_API_KEY or DD_API_KEY. `authority` is a file with the certificates of a private
    authority; `seconds` bound the sending of one event, retries included; `note` is told of longer waits.
    Raises ConfigError for a missing key, a wrong address and a file without certificates.
    """

    def __init__(
        self, address: str, *, seconds: float, note: Callable[[str], None], authority: Path | None = None
    ) -> None:
        key = secret("DATADOG_API_KEY" if os.environ.get("DATADOG_API_KEY", "").strip() else "DD_API_KEY", _NAME)
        _check_certificates(authority)
        self._client = HttpClient(
            _NAME,
            address,
            DatadogKeys(key),
            secrets=[key],
            note=note,
            advice={401: _KEYS, 403: _KEYS},
            timeout=(_CONNECTING, _SILENCE),
            deadline_seconds=seconds,
            passing=_PASSING,
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


def _check_certificates(authority: Path | None) -> None:
    try:
        ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ConfigError(
            f"{authority}: no certificates can be read from it ({error.strerror or error}); "
            "it must hold those of your authority as PEM"
        ) from None

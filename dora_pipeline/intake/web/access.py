"""Who may ask: API keys for sending, application keys beside them for reading and changing.

Keys are held as digests under a secret of this run, and compared in constant time with every one that is known.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from starlette.requests import Request

from dora_pipeline.errors import ConfigError
from dora_pipeline.intake.web.limits import Allowances
from dora_pipeline.intake.web.refusals import Refusal

API_KEYS = "DORA_INTAKE_API_KEYS"
APP_KEYS = "DORA_INTAKE_APP_KEYS"
API_HEADER = "DD-API-KEY"
APP_HEADER = "DD-APPLICATION-KEY"
SHORTEST_KEY = 16
FAILURES_PER_MINUTE = 60


@dataclass(frozen=True)
class Keys:
    """Digests of the configured keys, and the secret under which they were made."""

    api: tuple[bytes, ...] = ()
    app: tuple[bytes, ...] = ()
    short: tuple[str, ...] = ()
    pepper: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Keys":
        """The keys of an environment; `short` names those below 16 characters by their place.

        Raises ConfigError for a key that cannot stand in a header.
        """
        pepper = secrets.token_bytes(32)
        found: dict[str, list[str]] = {}
        wrong: list[str] = []
        short: list[str] = []
        for name in (API_KEYS, APP_KEYS):
            found[name] = [key for part in environment.get(name, "").split(",") if (key := part.strip())]
            for place, key in enumerate(found[name], start=1):
                if not re.fullmatch("[!-~]+", key):
                    wrong.append(f"{name}: key {place} holds a space, a line break or a letter beyond ASCII")
                elif len(key) < SHORTEST_KEY:
                    short.append(f"{name}: key {place} has fewer than {SHORTEST_KEY} characters")
        if wrong:
            raise ConfigError("; ".join(wrong))
        api, app = (tuple(_digest(key.encode(), pepper) for key in found[name]) for name in (API_KEYS, APP_KEYS))
        return cls(api, app, tuple(short), pepper)

    @property
    def is_empty(self) -> bool:
        """Whether no key is configured at all."""
        return not (self.api or self.app)

    def api_key(self, key: str) -> bytes | None:
        """The digest of an API key that is known."""
        return self._known(key, self.api)

    def app_key(self, key: str) -> bytes | None:
        """The digest of an application key that is known."""
        return self._known(key, self.app)

    def _known(self, key: str, digests: tuple[bytes, ...]) -> bytes | None:
        digest = _digest(key.encode("latin-1", "replace"), self.pepper)
        matches = [hmac.compare_digest(digest, known) for known in digests]
        return digest if any(matches) else None


def _digest(key: bytes, pepper: bytes) -> bytes:
    return blake2b(key, key=pepper, digest_size=32).digest()


def _fault(header: str, sent: str, variable: str) -> str:
    """What is the matter with a key, by the names of its header and of the intake's variable; never the key."""
    return f"the key in {header} is none of those in the intake's {variable}" if sent else f"{header} is missing"


class Door:
    """Lets requests in, or raises Refusal; without keys (`--insecure`) everyone comes in."""

    def __init__(self, keys: Keys, per_minute: int) -> None:
        self._keys = keys
        self._is_open = keys.is_empty
        self._requests = Allowances(per_minute)
        self._failures = Allowances(FAILURES_PER_MINUTE)

    def admit_sender(self, request: Request) -> None:
        """For an API key alone."""
        sent = request.headers.get(API_HEADER, "")
        api_key = self._keys.api_key(sent)
        if api_key is None and not self._is_open:
            raise self._failed(request, 403, f"Forbidden: {_fault(API_HEADER, sent, API_KEYS)}")
        self._count(api_key)

    def admit_reader(self, request: Request) -> None:
        """For an API key and an application key; 401 where there is neither, as at Datadog."""
        sent_api, sent_app = (request.headers.get(name, "") for name in (API_HEADER, APP_HEADER))
        api_key, app_key = self._keys.api_key(sent_api), self._keys.app_key(sent_app)
        faults = [] if api_key is not None else [_fault(API_HEADER, sent_api, API_KEYS)]
        faults += [] if app_key is not None else [_fault(APP_HEADER, sent_app, APP_KEYS)]
        if faults and not self._is_open:
            status, title = (403, "Forbidden") if sent_api or sent_app else (401, "Unauthorized")
            raise self._failed(request, status, f"{title}: {'; '.join(faults)}")
        self._count(api_key)

    def _count(self, api_key: bytes | None) -> None:
        wait = self._requests.take("" if api_key is None else api_key.hex())
        if wait:
            raise self._requests.refusal(wait, "Too many requests")

    def _failed(self, request: Request, status: int, message: str) -> Refusal:
        # A right key is let in however many wrong ones came from its address: many share one behind a proxy, and
        # refusing them would cost events. Keys are too long to be guessed.
        address = request.client.host if request.client else ""
        wait = self._failures.take(address)
        if wait:
            return self._failures.refusal(wait, "Too many requests with wrong keys")
        return Refusal(status, message)

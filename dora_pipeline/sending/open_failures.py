"""Failures that are open at an intake: which there are, how one is ended, and whether what it names is known."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError, DoraError
from dora_pipeline.identifiers import suggestion
from dora_pipeline.sending import sent_events
from dora_pipeline.sending.sent_events import CommonFields, Event
from dora_pipeline.timeline import InstantError, instant

if TYPE_CHECKING:
    from dora_pipeline.sending.intake import IntakeClient

# What an intake lists at once.
MOST = 1000
_IS_IT_THE_NAME = "; is it the name that its deployments have?"


@dataclass(frozen=True)
class OpenFailure:
    """A failure as an intake knows it; times are UTC. `finished_at` is None while it is open."""

    failure_id: str
    services: Sequence[str]
    started_at: datetime
    finished_at: datetime | None
    env: str | None
    team: str | None
    name: str | None
    severity: str | None

    @classmethod
    def of(cls, failure_id: str, attributes: Mapping[str, Any]) -> Self | None:
        """The failure with these attributes of the wire; None for one without a readable start."""
        started_at = _moment(attributes.get("started_at"))
        if started_at is None:
            return None
        services = attributes.get("services") or []
        return cls(
            failure_id,
            [str(service) for service in (services if isinstance(services, list) else [services])],
            started_at,
            _moment(attributes.get("finished_at")),
            *(_text(attributes.get(name)) for name in ("env", "team", "name", "severity")),
        )

    @property
    def title(self) -> str:
        """The failure in a line."""
        who = ", ".join(self.services) or f"team {self.team}"
        where = f" in {self.env}" if self.env else ""
        what = f" ({self.name})" if self.name else ""
        return f"{self.failure_id} of {who}{where}, since {self.started_at:%Y-%m-%d %H:%M:%S}Z{what}"

    def ended(self, finished_at: datetime) -> Event:
        """The event that ends it, with all by which the intake knows it."""
        known = CommonFields(self.env, team=self.team, event_id=self.failure_id)
        return sent_events.failure(self.services, self.started_at, finished_at, known)


def open_ones(found: Sequence[OpenFailure | None]) -> list[OpenFailure]:
    """Those that are open, the newest first."""
    kept = [one for one in found if one is not None and one.finished_at is None]
    return sorted(kept, key=lambda one: one.started_at, reverse=True)


def stored_failures(home: Home) -> list[OpenFailure]:
    """The open failures of the store in a home, or of that which DORA_INTAKE_URL names.

    Raises ConfigError where there is none.
    """
    if not (home.intake / "events.sqlite3").exists() and not os.environ.get("DORA_INTAKE_URL", "").strip():
        raise ConfigError(
            f"{home.intake}: there is no store of an intake; give --url, or set DORA_INTAKE_ADDRESS, DATADOG_API_KEY "
            "and DATADOG_APP_KEY to ask an intake, or DORA_HOME to the home of one"
        )
    # Those who send need no database.
    from dora_pipeline.intake.store import EventStore

    with EventStore.at(home) as store:
        found = store.search("failure", limit=MOST)
    return open_ones([OpenFailure.of(one.event_id, one.attributes) for one in found])


def questions_of(event: Event, event_id: str, home: Home, intake: Callable[[], "IntakeClient"]) -> list[str]:
    """What to ask about services and env of a stored event that nobody else knows; nothing where nobody can say.

    Asked is the warehouse of the home, where there is one, else the intake, where it may be asked. What the home
    defines is known, too.
    """
    if not event.services and event.env is None:
        return []
    try:
        known = _known_names(event, event_id, home, intake)
    except DoraError:
        # The event is stored, whatever keeps us from asking.
        return []
    asked = [("service", service, "or definition of ") for service in event.services]
    asked += [("env", event.env, "to the environment ")] if event.env else []
    return [
        f"no deployment {of}{name!r} is known{suggestion(name, known[kind]) or _IS_IT_THE_NAME}"
        for kind, name, of in asked
        if known[kind] and name not in known[kind]
    ]


def _known_names(
    event: Event, event_id: str, home: Home, intake: Callable[[], "IntakeClient"]
) -> Mapping[str, Collection[str]]:
    """The names of each `service` and `env`."""
    if home.warehouse.exists():
        known = _published_names(home)
    else:
        with intake() as client:
            known = client.deployed(event, event_id)
    if not (home.settings_file.exists() or home.services.exists()):
        return known
    # Those who only send need neither.
    from dora_pipeline.catalog.services import read_catalog
    from dora_pipeline.settings import read_settings

    settings = read_settings(home)
    known["service"] |= read_catalog(home).services.keys()
    known["env"] |= settings.environments.keys()
    # An alias is as good as the name that it stands for.
    if event.env is not None and settings.environment(event.env) in known["env"]:
        known["env"].add(event.env)
    return known


def _published_names(home: Home) -> dict[str, set[str]]:
    # Those who only send need none of it.
    from dora_pipeline.warehouse.reader import open_reader

    with open_reader(home) as connection:
        services = connection.execute("SELECT service FROM core.services UNION SELECT service FROM core.deployments")
        known = {"service": {name for (name,) in services.fetchall()}}
        envs = connection.execute("SELECT DISTINCT env FROM core.deployments WHERE env IS NOT NULL")
        known["env"] = {name for (name,) in envs.fetchall()}
    return known


def _moment(value: object) -> datetime | None:
    try:
        return instant(value)
    except InstantError:
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None

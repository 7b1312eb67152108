"""What users of random worlds choose, stage by stage: settings and selections."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from dora_pipeline_tests.oracle import Selection

EVENT_API, APM = "deployment_event_api", "apm_deployment_tracking"
FAILURE_API, PAGERDUTY = "failure_event_api", "pagerduty"
# Moments at which the clocks of a zone change, or any where they never do. Havana has a day without a midnight and one
# with two, Santiago a last hour that comes twice, Lord Howe changes of half an hour, and Apia left a whole day out.
CLOCKS = {
    "Europe/Berlin": (datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC)),
    "America/New_York": (datetime(2024, 3, 10, 7, tzinfo=UTC), datetime(2024, 11, 3, 6, tzinfo=UTC)),
    "America/Havana": (datetime(2024, 3, 10, 5, tzinfo=UTC), datetime(2024, 11, 3, 5, tzinfo=UTC)),
    "America/Santiago": (datetime(2024, 4, 7, 3, tzinfo=UTC), datetime(2024, 9, 8, 4, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2024, 4, 6, 15, tzinfo=UTC), datetime(2024, 10, 5, 15, 30, tzinfo=UTC)),
    "Pacific/Apia": (datetime(2011, 9, 24, 14, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC)),
    "Asia/Kolkata": (datetime(2024, 3, 31, 18, 30, tzinfo=UTC), datetime(2024, 10, 27, 18, 30, tzinfo=UTC)),
    "UTC": (datetime(2024, 3, 31, tzinfo=UTC), datetime(2024, 10, 27, tzinfo=UTC)),
}
RULES = (
    {"name": "urgent", "field": "custom_tag", "matches": "^urgent:", "fails": "previous"},
    {"name": "broken", "field": "custom_tag", "matches": "^broken:", "fails": "itself"},
    {"name": "branch", "field": "branch_tag", "matches": "^fix/", "fails": "previous"},
    {"name": "hotfix", "field": "version", "matches": "hotfix", "fails": "previous"},
    {"name": "subject", "field": "commit_subject", "matches": "hotfix", "fails": "previous"},
)
# Those that hold where none are set.
_DEFAULT_RULES = (
    {"name": "hotfix", "field": "version", "matches": "(?i)hotfix", "fails": "previous"},
    {"name": "hotfix", "field": "commit_subject", "matches": "(?i)hotfix", "fails": "previous"},
)
_SETS = ((EVENT_API,), (APM,), (EVENT_API, APM), (EVENT_API, APM), (APM, EVENT_API), (APM, EVENT_API))
_FAILURE_SETS = ((FAILURE_API,), (FAILURE_API,), (PAGERDUTY,), (FAILURE_API, PAGERDUTY), (PAGERDUTY, FAILURE_API))
_PAUSES = (
    timedelta(microseconds=1),
    timedelta(hours=1),
    timedelta(hours=30),
    timedelta(days=1),
    timedelta(days=3),
    timedelta(days=60),
)


@dataclass(frozen=True)
class Settings:
    """What stands in dora.yaml, but for repositories; `change_failure_rules` None is a file without them."""

    timezone: str = "UTC"
    environments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    merge_window: timedelta = timedelta(minutes=10)
    link_window: timedelta = timedelta(days=7)
    link_slack: timedelta = timedelta(minutes=5)
    squash_merges: str = "expand"
    change_failure_rules: Sequence[Mapping[str, str]] | None = None
    quiet_gap: timedelta = timedelta(hours=1)
    # The environment of failures that name none.
    env_of_failures: str | None = None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def rules(self) -> Sequence[Mapping[str, str]]:
        return _DEFAULT_RULES if self.change_failure_rules is None else self.change_failure_rules

    def canonical(self, env: str | None) -> str | None:
        """The name of an environment; aliases are globs."""
        for name, aliases in self.environments.items():
            if env is not None and any(fnmatchcase(env, alias) for alias in aliases):
                return name
        return env

    def written(self) -> dict[str, Any]:
        """As dora.yaml has them; what is as it is without a file is left out."""
        chosen = {one.name: getattr(self, one.name) for one in fields(self)}
        usual = Settings()
        chosen = {name: value for name, value in chosen.items() if value != getattr(usual, name)}
        found = {name: _duration(value) if isinstance(value, timedelta) else value for name, value in chosen.items()}
        found["environments"] = {name: [*aliases] for name, aliases in self.environments.items()}
        if self.change_failure_rules is not None:
            found["change_failure_rules"] = [dict(rule) for rule in self.change_failure_rules]
        gap, env = found.pop("quiet_gap", None), found.pop("env_of_failures", None)
        found["sources"] = {} if gap is None else {APM: {"quiet_gap": gap}}
        named = {} if env is None else {source: {"env": env} for source in (FAILURE_API, PAGERDUTY)}
        return found | {"sources": found["sources"] | named}


@dataclass(frozen=True)
class Stage:
    """The settings of a stage, the selections that are new in it, and when it received its events."""

    settings: Settings
    selections: Sequence[Selection]
    received_at: datetime


def starts(zone: str) -> Sequence[datetime]:
    """When the three spans of six days begin in which things happen: the clocks change on the third day of the first
    two, the last is the end of an ISO year.
    """
    changes = CLOCKS[zone]
    return *(at - timedelta(days=2, hours=3) for at in changes), datetime(changes[0].year, 12, 27, tzinfo=UTC)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which a day begins."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _received_at(stage: int) -> datetime:
    return datetime(2025, 2, 1 + stage, tzinfo=UTC)


def _duration(value: timedelta) -> str:
    return f"{value // timedelta(seconds=1)}s"


# Two stages under the settings of one home; at last the exports go before the event API.
_FIRST = starts("Europe/Berlin")[0]
_SETTINGS = Settings(
    timezone="Europe/Berlin",
    environments={"production": ["prod"]},
    link_window=timedelta(days=2),
    change_failure_rules=RULES,
)
STAGES = (
    Stage(
        _SETTINGS,
        (
            Selection("deployment", _FIRST - timedelta(days=90), (EVENT_API,)),
            Selection("deployment", _FIRST + timedelta(hours=30), (APM, EVENT_API)),
            Selection("deployment", _FIRST + timedelta(hours=31), (EVENT_API,)),
            Selection("failure", _FIRST + timedelta(hours=20), (FAILURE_API,)),
        ),
        _received_at(0),
    ),
    Stage(
        _SETTINGS,
        (Selection("deployment", _FIRST + timedelta(days=400), (APM, EVENT_API)),),
        _received_at(1),
    ),
)


def random_stages(choose: random.Random) -> Sequence[Stage]:
    """Two or three stages of one home."""
    settings = _random_settings(choose)
    first, zone = starts(settings.timezone)[0], settings.zone
    number = choose.choice([2, 2, 3])
    selections = _random_selections(choose, number, first, zone)
    found = []
    for stage in range(number):
        found.append(Stage(settings, selections[stage], _received_at(stage)))
        # Mostly one alone: some make everything anew, behind which the change of another one does not show.
        for name in choose.sample([*_CHOICES], choose.choice([0, 1, 1, 1, 2])):
            settings = replace(settings, **{name: _CHOICES[name](choose)})
    return found


def _random_rules(choose: random.Random) -> Sequence[Mapping[str, str]] | None:
    some = choose.sample(RULES, choose.randint(0, len(RULES)))
    return choose.choice([None, RULES, some, [*some, *_DEFAULT_RULES]])


_CHOICES: Mapping[str, Callable[[random.Random], Any]] = {
    "timezone": lambda choose: choose.choice([*CLOCKS]),
    "environments": lambda choose: choose.choice(
        [
            {},
            {"production": ["prod"]},
            {"production": ["prod"]},
            {"live": ["prod*"]},
            {"production": ["prod", "staging"]},
            {"prod": ["prod?*"], "test": ["stag*"]},
        ]
    ),
    "merge_window": lambda choose: timedelta(minutes=choose.choice([0, 5, 10, 10, 720])),
    "link_window": lambda choose: timedelta(hours=choose.choice([0, 1, 25, 48, 48, 168, 87_600])),
    "link_slack": lambda choose: timedelta(minutes=choose.choice([0, 5, 5, 10, 720])),
    "squash_merges": lambda choose: choose.choice(["expand", "expand", "landed"]),
    "change_failure_rules": _random_rules,
    "quiet_gap": lambda choose: timedelta(minutes=choose.choice([1, 60, 60, 120, 1_440])),
    "env_of_failures": lambda choose: choose.choice([None, None, "prod", "staging"]),
}


def _random_settings(choose: random.Random) -> Settings:
    return Settings(**{name: choice(choose) for name, choice in _CHOICES.items()})


def _random_selections(
    choose: random.Random, stages: int, first: datetime, zone: ZoneInfo
) -> Sequence[Sequence[Selection]]:
    """The selections of each stage: sources go to and fro; those of failures from a stage on, or never."""
    found: list[list[Selection]] = [[] for _ in range(stages)]
    at = _beginning(choose, first, zone)
    for stage in range(stages):
        for _ in range(choose.choice([0, 1, 1, 2, 3, 4] if stage == 0 else [0, 0, 0, 1, 2])):
            found[stage].append(Selection("deployment", at, choose.choice(_SETS)))
            at += choose.choice(_PAUSES)
    stage_of_failures = choose.choice([0, 0, 0, 0, 0, 1, None])
    # A home in which nothing is selected does not run.
    begin = 0 if not found[0] else stages if stage_of_failures is None else stage_of_failures
    at = _beginning(choose, first, zone)
    for stage in range(begin, stages):
        for _ in range(choose.choice([1, 1, 1, 2, 3] if stage == begin else [0, 0, 0, 1])):
            found[stage].append(Selection("failure", at, choose.choice(_FAILURE_SETS)))
            at += choose.choice(_PAUSES)
    return found


def _beginning(choose: random.Random, first: datetime, zone: ZoneInfo) -> datetime:
    at = first - timedelta(days=choose.choice([90, 90, 90, 30, 0, -1, -3]), hours=choose.choice([0, 5]))
    return midnight(at.astimezone(zone).date(), zone) if choose.random() < 0.4 else at

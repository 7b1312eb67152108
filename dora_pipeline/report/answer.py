"""The answer to a question, as plain values, and what questions can name.

Days are those of the warehouse's time zone, instants are UTC, durations seconds. None is `no data`, never 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from dora_pipeline.report.content import Appendix, Environment, Excerpt, Query, SelectedSource
from dora_pipeline.report.question import NONE, Question, WrongQuestion
from dora_pipeline.report.ranking import Ranking
from dora_pipeline.report.words import some_of
from dora_pipeline.timeline import Window, day_of, start_of

_MOST_NEAR = 5
_MOST_OTHERS = 3


@dataclass(frozen=True)
class NamedEnvironment:
    """An environment that events name, and the day of its first deployment."""

    env: str | None
    first_deployment_day: date | None
    deployments: int

    def reaches_back_over(self, window: Window) -> bool:
        """Whether it was deployed to before the window, or as it began: its figures of all these days are known."""
        return self.first_deployment_day is not None and self.first_deployment_day <= window.first


@dataclass(frozen=True)
class Overview:
    """What there is to ask about in one publication; `newest_day` is None where no event of a selected source is.

    `environments` are those of production first, then by deployments. `names` has, for each parameter of a question,
    the values that events name, most events first, None where some name none; of tags the most frequent only.
    `name_of` gives the name of an environment by an alias.
    """

    zone: ZoneInfo
    newest_day: date | None
    newest_event_at: datetime | None
    read_at: datetime | None
    sources: Sequence[SelectedSource]
    environments: Sequence[NamedEnvironment]
    names: Mapping[str, Sequence[str | None]]
    name_of: Callable[[str], str | None] = field(repr=False, compare=False)

    def selected(self, event_type: str) -> bool:
        """Whether any source of deployments or of failures is selected."""
        return any(source.event_type == event_type for source in self.sources)

    def since(self, event_type: str, question: Question) -> date | None:
        """The day from which events of a type are known, None where none of its sources is asked about."""
        if event_type == "deployment" and question.severity is not None:
            return None
        begins = self._first_selection(event_type, question.source)
        return None if begins is None else day_of(begins, self.zone)

    @property
    def rates_since(self) -> date | None:
        """The first day from whose start deployments and failures are known; None while a type has no source."""
        deployments, failures = self._first_selection("deployment"), self._first_selection("failure")
        if deployments is None or failures is None:
            return None
        begins = max(deployments, failures)
        day = day_of(begins, self.zone)
        return day if start_of(day, self.zone) == begins else day + timedelta(days=1)

    @property
    def quiet_days(self) -> int:
        """Whole days between the newest event and the last reading."""
        if self.read_at is None or self.newest_event_at is None:
            return 0
        return max((self.read_at - self.newest_event_at) // timedelta(days=1), 0)

    def _first_selection(self, event_type: str, source: str | None = None) -> datetime | None:
        found = [item for item in self.sources if item.event_type == event_type and source in (None, item.source)]
        return min((item.first_selected_at for item in found), default=None)

    def environment(self, question: Question) -> NamedEnvironment:
        """The environment that the question names, also by an alias; else the first one. Raises WrongQuestion."""
        if question.env is None:
            return self.environments[0]
        by_env = {environment.env: environment for environment in self.environments}
        for name in (None if question.env == NONE else question.env, self.name_of(question.env)):
            if name in by_env:
                return by_env[name]
        raise UnknownName("env", question.env, [item.env or NONE for item in self.environments])

    def resolved(self, question: Question) -> Question:
        """The question with its environment named. Raises WrongQuestion, UnknownName for what no event names."""
        environment = self.environment(question)
        self.check(question)
        return question.but(env=NONE if environment.env is None else environment.env, rank=question.rank)

    def check(self, question: Question) -> None:
        """Raise UnknownName for a value that no event names."""
        for parameter, names in self.names.items():
            value = getattr(question, parameter)
            if value is not None and parameter != "tag" and (None if value == NONE else value) not in names:
                raise UnknownName(parameter, value, [name for name in names if name is not None])


class UnknownName(WrongQuestion):
    """A value that no event names; `near` are some that are alike, or else some that there are.

    `unknown` is the message without them, for a page that makes them links.
    """

    def __init__(self, parameter: str, value: str, names: Sequence[str]) -> None:
        held = [name for name in names if value.lower() in name.lower()]
        close = get_close_matches(value, names, n=_MOST_NEAR, cutoff=0.5)
        self.near = list(dict.fromkeys([*held[:_MOST_NEAR], *close])) or list(names[:_MOST_OTHERS])
        unknown = f"no event of a selected source names {value!r}"
        self.unknown = f"{parameter}: {unknown}"
        super().__init__(parameter, f"{unknown}; there is {some_of(self.near, len(names))}" if self.near else unknown)


@dataclass(frozen=True)
class Answer:
    """The figures that a question asks for; it names its environment where only that one is shown.

    `rankings` are of services, of teams or of both, over the environments that are shown. `appendix` is that of a file.
    """

    question: Question
    overview: Overview
    period: Window
    before: Window | None
    environments: Excerpt[Environment]
    rankings: Sequence[Ranking]
    queries: Sequence[Query] = ()
    appendix: Appendix | None = None

    @property
    def is_live(self) -> bool:
        """Whether it can lead to other pages, and be asked anew."""
        return self.appendix is None

    @property
    def with_rates(self) -> Question | None:
        """The question about those of its days of which rates are known; None where it is, or where there are none."""
        since = self.overview.rates_since
        if not self.is_live or since is None or not self.period.first < since <= self.period.last:
            return None
        return self.question.but(period=None, from_day=since)

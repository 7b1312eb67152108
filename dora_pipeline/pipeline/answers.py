"""The answers to questions, computed from one publication of the warehouse.

Every figure comes from the events of its question: medians under any filter are exact.
"""

import re
from contextlib import nullcontext
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import duckdb

from dora_pipeline.config import Home
from dora_pipeline.pipeline.report_queries import Queries
from dora_pipeline.pipeline.report_trends import from_first_deployment, point_of, production_first
from dora_pipeline.pipeline.reports import ReportError, known_since, put_page, rates_since
from dora_pipeline.report.answer import Answer, Catalog, NamedEnvironment
from dora_pipeline.report.content import Environment, Figures, Query, SelectedSource
from dora_pipeline.report.distribution import LOWER_ENDS
from dora_pipeline.report.page import answer_file
from dora_pipeline.report.question import COLUMNS, Question, WrongQuestion
from dora_pipeline.report.ranking import Ranked, Ranking
from dora_pipeline.timeline import OLDEST_INSTANT, Window
from dora_pipeline.warehouse.filtered import Part, Parts, narrowed
from dora_pipeline.warehouse.reader import asking, open_publication

_MOST_TAGS = 200
_MOST_RANKED = 50
_MEMORY = "1GB"
_FILTER = "The filter: to be run first"


def catalog(connection: duckdb.DuckDBPyConnection) -> Catalog:
    """What there is to ask about; `connection` is one of `open_publication`."""
    queries = Queries(connection)
    ((timezone,),) = queries.rows("time_zone")
    ((newest_day, newest_event_at, read_at),) = queries.rows("span")
    environments = (
        [] if newest_day is None else queries.rows("environments", since_day=OLDEST_INSTANT.date(), to_day=newest_day)
    )
    names: dict[str, list[str | None]] = {parameter: [] for parameter in (*COLUMNS, "tag") if parameter != "env"}
    for parameter, name in queries.rows("names", most_tags=_MOST_TAGS):
        names[parameter].append(name)
    return Catalog(
        ZoneInfo(timezone),
        newest_day,
        newest_event_at,
        read_at,
        [SelectedSource(*row) for row in queries.rows("sources")],
        [NamedEnvironment(*row) for row in sorted(environments, key=production_first)],
        names,
    )


def answer(connection: duckdb.DuckDBPyConnection, parts: Parts, asked: Question, known: Catalog) -> Answer:
    """The answer to a question of a catalog that has events; `connection` is one of `open_publication`, and `parts`
    those of the same publication.

    Raises WrongQuestion for what the publication does not know, or days that are too many or not there yet.
    """
    assert known.newest_day is not None, "there is nothing to ask about"
    question = known.resolved(asked)
    environment = known.environment(question)
    env, first = environment.env, environment.first_deployment_day
    period = question.window(known.newest_day)
    grain = question.points(period)
    before = question.compared(period)
    nothing = _nothing(known, question)
    queries = Queries(connection)
    bounds = {"env": env, "from_day": period.first, "to_day": period.last}
    windows = [period] if before is None else [period, before]
    with parts.filtered(connection, question.values, question.tag, windows) as part:
        figures = _figures(queries, "Cards", env, period, "env")
        then = None
        if before is not None and environment.reaches_back_over(before):
            then = _figures(queries, "Cards, the days compared with", env, before, "env").get(env, nothing)
        trends = queries.rows("trends", f"Trends by {grain}", grain=grain, from_day=period.first, to_day=period.last)
        lead_times = dict(queries.rows("lead_times", "Lead times", lower_ends=LOWER_ENDS, **bounds))
        ranking = None
        if question.service is None:
            ranking = _ranking(connection, part, queries, question, period, env, grain)
    points = [point_of(row[1:], grain) for row in trends if row[0] == env]
    return Answer(
        question,
        known,
        Environment(env, first, figures.get(env, nothing), then),
        period,
        before,
        _since("failure", known, question),
        rates_since(known.sources, known.zone),
        grain,
        [from_first_deployment(first, point) for point in points],
        lead_times,
        ranking,
        [Query(_FILTER, _script(part)), *(Query(title, text) for title, text in queries.texts.items())],
    )


def write_answer(home: Home, asked: Question, days: int) -> Path:
    """Write the page of a question over the newest `days`, in `report/` under a name of its own; the path of the file.

    Raises WrongQuestion for what no event names, WarehouseError where nothing can be read, and ReportError where there
    is no event yet, or the file cannot be written.
    """
    with TemporaryDirectory(prefix="dora-report-") as spill:
        connection = open_publication(home, _MEMORY, Path(spill))
        try:
            with asking(home, connection) as cursor:
                known = catalog(cursor)
                if known.newest_day is None:
                    raise ReportError("there is no event of a selected source yet; `dora check` says what is missing")
                question = asked.but(from_day=known.newest_day - timedelta(days=days - 1))
                found = answer(cursor, Parts(), question, known)
        finally:
            connection.close()
    path = home.path / "report" / _file_name(asked)
    put_page(path, answer_file(found))
    return path


def _file_name(asked: Question) -> str:
    """A name that no other question has, and says which this is as far as a file's name may."""
    plain = re.sub(r"[^a-z0-9.]+", "-", asked.query.lower()).strip("-.")[:80]
    return f"{plain}-{blake2b(asked.query.encode(), digest_size=4).hexdigest()}.html"


def _script(part: Part) -> str:
    opening = "ATTACH 'warehouse.duckdb' AS warehouse (READ_ONLY)"
    return "".join(f"{text.strip()};\n" for text in [opening, *part.statements()])


def _figures(
    queries: Queries, title: str, env: str | None, window: Window, dimension: str
) -> dict[str | None, Figures]:
    """The figures of the environment, or of each service or team in it, by its name, where there is an event."""
    found: dict[str | None, Figures] = {}
    rows = queries.rows(
        "figures",
        title,
        dimension=dimension,
        since_day=window.first,
        from_day=window.first,
        to_day=window.last,
    )
    for _, service, of, team, *figures in rows:
        # Failures without a service have a row for each team.
        if of == env and not (dimension == "service" and service is None):
            found[{"env": of, "service": service, "team": team}[dimension]] = Figures(*figures)
    return found


def _ranking(
    connection: duckdb.DuckDBPyConnection,
    part: Part,
    queries: Queries,
    question: Question,
    period: Window,
    env: str | None,
    grain: str,
) -> Ranking:
    bounds = {"env": env, "from_day": period.first, "to_day": period.last}
    ranked = queries.rows(
        "ranked",
        "Ranking, the order",
        dimension=question.by,
        sort=question.sort,
        since_day=period.first,
        most=_MOST_RANKED,
        skipped=question.rank - 1,
        **bounds,
    )
    if not ranked and question.rank > 1:
        raise WrongQuestion("rank", f"there are fewer {question.by}s; begin with the first")
    names = [name for name, _ in ranked]
    total = ranked[0][1] if ranked else 0
    # To take those on the page out of the others takes less than the figures of all do.
    with nullcontext() if total == len(names) else narrowed(connection, part, COLUMNS[question.by], names):
        figures = _figures(queries, "Ranking, the figures", env, period, question.by)
        courses: dict[str | None, list[float | None]] = {}
        course = queries.rows("member_trends", dimension=question.by, grain=grain, sort=question.sort, **bounds)
        for name, figure in course:
            courses.setdefault(name, []).append(figure)
        teams = dict(queries.rows("teams", since_day=period.first)) if question.by == "service" else {}
    rows = [Ranked(name, figures[name], teams.get(name), courses.get(name, [])) for name in names]
    return Ranking(question.by, question.sort, rows, total, question.rank, _MOST_RANKED)


def _nothing(known: Catalog, question: Question) -> Figures:
    """The figures of days on which nothing came: counts are 0 of what is told by a source that is asked about."""
    deployments = 0 if _since("deployment", known, question) else None
    failures = 0 if _since("failure", known, question) else None
    return Figures(
        deployments=deployments,
        failures=failures,
        lead_time_commits=deployments,
        lead_time_deployments=deployments,
        restores=failures,
        failed_changes=deployments,
        recoveries=deployments,
        rework_deployments=deployments,
        open_failures=failures,
    )


def _since(event_type: str, known: Catalog, question: Question) -> date | None:
    """The day from which events of the type are known, None where none of its sources is asked about."""
    if event_type == "deployment" and question.severity is not None:
        return None
    asked = [source for source in known.sources if question.source in (None, source.source)]
    return known_since(asked, event_type, known.zone)

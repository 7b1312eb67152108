"""The figures of a question as tables, each of one query that any client can run."""

from dora_pipeline.pipeline.report_queries import Value, filled
from dora_pipeline.report.answer import Overview
from dora_pipeline.report.question import MEMBERS, Question
from dora_pipeline.timeline import Window
from dora_pipeline.warehouse.filtered import conditions
from dora_pipeline.warehouse.queries import quoted
from dora_pipeline.warehouse.single_queries import single_query


def answer_queries(asked: Question, known: Overview) -> dict[str, str]:
    """The SQL of each table of the page of a question: `figures`, of the days and of those that they are compared with;
    `members`, the services and teams; `trend`, by grain.

    Raises WrongQuestion for what the publication does not know, or days that are too many or not there yet.
    """
    assert known.newest_day is not None, "there is nothing to ask about"
    question = known.resolved(asked)
    env = "NULL" if question.values["env"] is None else quoted(question.values["env"])
    of_env = f"x.env IS NOT DISTINCT FROM {env}"
    period = question.window(known.newest_day)
    before = question.compared(period)
    windows = {"asked": period}
    if before is not None and known.environment(question).reaches_back_over(before):
        windows["compared"] = before
    filter_of = conditions(question.values, question.tag, [period])
    bounds: dict[str, Value] = {"from_day": period.first, "to_day": period.last}
    figures = [
        f"SELECT '{name}' AS days, DATE '{window.first}' AS from_day, DATE '{window.last}' AS to_day,\n"
        f"    x.* EXCLUDE (dimension, service, team)\nFROM (\n{_figures(question, window, 'env')}\n) AS x\n"
        f"WHERE x.dimension = 'env' AND {of_env}"
        for name, window in windows.items()
    ]
    trend = single_query(filled("report.trends", {**bounds, "grain": question.points(period)}), filter_of)
    members = "\nUNION ALL\n".join(f"FROM (\n{_figures(question, period, member)}\n)" for member in MEMBERS)
    return {
        "figures": "\nUNION ALL\n".join(figures),
        "members": f"SELECT x.*\nFROM (\n{members}\n) AS x\nWHERE {of_env}\n"
        "ORDER BY x.dimension, x.deployments DESC, x.failures DESC, x.service, x.team",
        "trend": f"SELECT x.*\nFROM (\n{trend}\n) AS x\nWHERE {of_env}",
    }


def _figures(question: Question, window: Window, dimension: str) -> str:
    options: dict[str, Value] = {
        "dimension": dimension,
        "since_day": window.first,
        "from_day": window.first,
        "to_day": window.last,
    }
    return single_query(filled("report.figures", options), conditions(question.values, question.tag, [window]))

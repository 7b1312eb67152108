"""What a request asks: a question, and beside it what only a kind of page knows."""

from collections.abc import Collection, Mapping

from starlette.requests import Request

from dora_pipeline.report.question import Question, WrongQuestion


def asked(request: Request, own: Collection[str]) -> tuple[Question, dict[str, str]]:
    """The question of a query string, and the values of the page's own parameters. Raises WrongQuestion."""
    parameters = request.query_params.multi_items()
    values: dict[str, str] = {}
    for name, text in parameters:
        if name in own and text and values.setdefault(name, text) != text:
            raise WrongQuestion(name, "stands twice, with different values")
    return Question.of([(name, text) for name, text in parameters if name not in own]), values


def choice(values: Mapping[str, str], name: str, choices: Collection[str]) -> str:
    """The value of a parameter that has to be one of some. Raises WrongQuestion."""
    value = values.get(name)
    if value is None or value not in choices:
        said = "is missing" if value is None else f"{value[:60]!r} is none of those that there are"
        raise WrongQuestion(name, f"{said}; there are {', '.join(choices)}")
    return value

"""`/`: the page of a question."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from urllib.parse import parse_qsl

import duckdb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dora_pipeline.dashboard.publications import Publication, publications_of
from dora_pipeline.dashboard.responses import html, redirection, unchanged
from dora_pipeline.pipeline.answers import answer
from dora_pipeline.report.page import Page, answer_page, nothing_page
from dora_pipeline.report.question import Question


async def show_answer(request: Request) -> Response:
    """The page of the question of a query string; one with blanks, as a form has it, is sent to its own address."""
    parameters = request.query_params.multi_items()
    question = Question.of(parameters)
    if len(parameters) != len(parse_qsl(question.query)):
        return redirection(f"/?{question.query}" if question.query else "/")
    publications = publications_of(request)
    tag = _tag(publications.identity(), question)
    same = unchanged(request, tag)
    if same is not None:
        return same

    def page(connections: Sequence[duckdb.DuckDBPyConnection], publication: Publication) -> Page:
        if publication.overview.newest_day is None:
            return nothing_page(publication.overview)
        return answer_page(answer(connections, publication.parts, question, publication.overview))

    return html(await publications.ask_by_parts(page), headers={"ETag": tag})


def answer_first(connections: Sequence[duckdb.DuckDBPyConnection], publication: Publication) -> None:
    """Answer the question that names nothing, page and all: most ask it first, and what it filters is kept."""
    if publication.overview.newest_day is not None:
        answer_page(answer(connections, publication.parts, Question(), publication.overview))


def _tag(identity: str, question: Question) -> str:
    # What is open, and for how long, is said as of now.
    hour = datetime.now(UTC).strftime("%Y%m%d%H")
    digest = blake2b(f"{identity} {hour} {question.query}".encode(), digest_size=16)
    return f'"{digest.hexdigest()}"'


ROUTES = [Route("/", show_answer, methods=["GET"])]

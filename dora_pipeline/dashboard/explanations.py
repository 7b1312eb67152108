"""`/explain`: the events behind a figure of a question, and those that are left out of it, with the reason."""

import duckdb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dora_pipeline.dashboard.publications import Publication, publications_of
from dora_pipeline.dashboard.questions import asked, choice
from dora_pipeline.dashboard.responses import html
from dora_pipeline.pipeline.explanations import figure_explanation
from dora_pipeline.report.explanation import FIGURES
from dora_pipeline.report.page import Page, explanation_page, nothing_page
from dora_pipeline.report.question import whole_number


async def show_explanation(request: Request) -> Response:
    """A page of the events behind `figure`, or of those that one `reason` leaves out of it."""
    question, own = asked(request, ("figure", "reason", "page"))
    figure, page = choice(own, "figure", FIGURES), whole_number("page", own.get("page", "1"))

    def made(connection: duckdb.DuckDBPyConnection, publication: Publication) -> Page:
        known = publication.overview
        if known.newest_day is None:
            return nothing_page(publication.overview)
        return explanation_page(figure_explanation(connection, question, known, figure, own.get("reason"), page))

    return html(await publications_of(request).ask(made))


ROUTES = [Route("/explain", show_explanation, methods=["GET"])]

"""`/quality`: what `dora check` says, unlinked failures, unknown services, and how fresh each source is."""

import duckdb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dora_pipeline.config import Home
from dora_pipeline.dashboard.publications import Publication, publications_of
from dora_pipeline.dashboard.responses import html
from dora_pipeline.pipeline.quality import quality
from dora_pipeline.report.page import Page, quality_page
from dora_pipeline.settings import read_settings


async def show_quality(request: Request) -> Response:
    """The page; settings are those of now."""
    home: Home = request.app.state.home
    settings = read_settings(home)

    def page(connection: duckdb.DuckDBPyConnection, publication: Publication) -> Page:
        return quality_page(quality(connection, settings, publication.overview.zone))

    return html(await publications_of(request).ask(page))


ROUTES = [Route("/quality", show_quality, methods=["GET"])]

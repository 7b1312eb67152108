"""`/services.json`: the services whose name holds a text, for a field that offers them while one types."""

import duckdb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dora_pipeline.dashboard.publications import Publication, publications_of

_MOST = 50


async def find_services(request: Request) -> Response:
    """At most 50 names, those that begin with the text first, then those with most events."""
    text = request.query_params.get("q", "").strip().lower()[:500]

    def found(_connection: duckdb.DuckDBPyConnection, publication: Publication) -> list[str]:
        known = publication.overview.names.get("service", ())
        names = [name for name in known if name is not None and text in name.lower()]
        return sorted(names, key=lambda name: not name.lower().startswith(text))[:_MOST]

    return JSONResponse(await publications_of(request).ask(found))


ROUTES = [Route("/services.json", find_services, methods=["GET"])]

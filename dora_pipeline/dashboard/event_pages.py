"""`/deployments/ID` and `/failures/ID`: all that is known of one event, whatever its id holds.

`/deployments?id=ID` and `/failures?id=ID` are the same for ids that browsers and proxies would change in a path.
"""

import duckdb
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dora_pipeline.dashboard.publications import Publication, publications_of
from dora_pipeline.dashboard.questions import asked
from dora_pipeline.dashboard.responses import html, message
from dora_pipeline.identifiers import EventType
from dora_pipeline.pipeline.details import event_details
from dora_pipeline.report.page import Page, details_page
from dora_pipeline.report.question import WrongQuestion


class _IdConvertor(Convertor[str]):
    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("event_id", _IdConvertor())


async def show_deployment(request: Request) -> Response:
    """The page of a deployment."""
    return await _shown(request, "deployment")


async def show_failure(request: Request) -> Response:
    """The page of a failure."""
    return await _shown(request, "failure")


async def _shown(request: Request, event_type: EventType) -> Response:
    event_id = request.path_params.get("event_id") or asked(request, ("id",))[1].get("id")
    if event_id is None:
        raise WrongQuestion("id", f"is missing; it is that of the {event_type}")

    def page(connection: duckdb.DuckDBPyConnection, publication: Publication) -> Page | None:
        found = event_details(connection, event_type, event_id)
        return None if found is None else details_page(found, publication.overview.zone)

    found = await publications_of(request).ask(page)
    return no_event(event_type, event_id) if found is None else html(found)


def no_event(event_type: EventType, event_id: str) -> Response:
    """That there is no event of the id."""
    text = (
        f"The newest publication has no {event_type} with the id {event_id[:200]!r}. What came since is there after "
        "the next `dora run`; what could not be used is in core.rejected_events."
    )
    return message(404, f"No such {event_type}", text)


ROUTES = [
    Route("/deployments", show_deployment, methods=["GET"]),
    Route("/deployments/{event_id:event_id}", show_deployment, methods=["GET"]),
    Route("/failures", show_failure, methods=["GET"]),
    Route("/failures/{event_id:event_id}", show_failure, methods=["GET"]),
]

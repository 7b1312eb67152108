"""The routes of failures."""

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from dora_pipeline.intake.web.answers import Answer, shown
from dora_pipeline.intake.web.bodies import FailureRequest, FailuresListRequest, attributes_of
from dora_pipeline.intake.web.document import BODY_REFUSALS, READER, READER_REFUSALS, SENDER, answered, described
from dora_pipeline.intake.web.operations import admit_reader, admit_sender, body_as, deleted, fetched, listing, tell

router = APIRouter(prefix="/api/v2/dora", tags=["Failures"], default_response_class=Answer)


@router.post(
    "/failure",
    summary="Tell a failure, or that it ended",
    dependencies=[Depends(admit_sender)],
    responses=answered(200, "Receipt", *BODY_REFUSALS),
    openapi_extra=described(SENDER, FailureRequest),
)
@router.post(
    "/incident",
    summary="Tell a failure (former name)",
    deprecated=True,
    dependencies=[Depends(admit_sender)],
    responses=answered(200, "Receipt", *BODY_REFUSALS),
    openapi_extra=described(SENDER, FailureRequest),
)
async def create_failure(request: Request) -> Response:
    """Answers once the event is on disk. The same services, env and second of `started_at` are the same failure."""
    body = await body_as(FailureRequest, request)
    return await tell(request, "failure", attributes_of(body.data.attributes))


@router.post(
    "/failures",
    summary="List failures",
    dependencies=[Depends(admit_reader)],
    responses=answered(200, "Failures", 401, 504, *BODY_REFUSALS),
    openapi_extra=described(READER, FailuresListRequest),
)
async def list_failures(request: Request) -> Response:
    """Failures that started from `from` to `to`, found by `query`; newest first unless `sort` says otherwise."""
    body = await body_as(FailuresListRequest, request)
    return await listing(request, "failure", body.data.attributes)


@router.get(
    "/failures/{failure_id}",
    summary="Get a failure",
    dependencies=[Depends(admit_reader)],
    responses=answered(200, "Failure", 404, *READER_REFUSALS),
    openapi_extra=described(READER),
)
async def get_failure(request: Request, failure_id: str) -> Response:
    """One failure by its id."""
    return Answer({"data": shown(await fetched(request, "failure", failure_id))})


@router.delete(
    "/failure/{failure_id}",
    summary="Delete a failure",
    status_code=202,
    response_class=Response,
    dependencies=[Depends(admit_reader)],
    responses=answered(202, None, 404, *READER_REFUSALS),
    openapi_extra=described(READER),
)
async def delete_failure(request: Request, failure_id: str) -> Response:
    """Answers once the deletion is on disk."""
    return await deleted(request, "failure", failure_id)

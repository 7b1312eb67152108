"""The routes of deployments."""

from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from dora_pipeline.intake.web.answers import Answer, shown
from dora_pipeline.intake.web.bodies import (
    DeploymentRequest,
    DeploymentsListRequest,
    PatchAttributes,
    PatchRequest,
    VersionPatchRequest,
    attributes_of,
)
from dora_pipeline.intake.web.document import BODY_REFUSALS, READER, READER_REFUSALS, SENDER, answered, described
from dora_pipeline.intake.web.operations import (
    admit_reader,
    admit_sender,
    body_as,
    deleted,
    fetched,
    in_thread,
    intake_of,
    listing,
    searched,
    tell,
)
from dora_pipeline.intake.web.refusals import BAD_REQUEST, NOT_FOUND, Refusal, mistakes, unknown

router = APIRouter(prefix="/api/v2/dora", tags=["Deployments"], default_response_class=Answer)
_one = "/deployments/{deployment_id}"


@router.post(
    "/deployment",
    summary="Tell a deployment",
    dependencies=[Depends(admit_sender)],
    responses=answered(200, "Receipt", *BODY_REFUSALS),
    openapi_extra=described(SENDER, DeploymentRequest),
)
async def create_deployment(request: Request) -> Response:
    """Answers once the event is on disk. The same told again makes no second one."""
    body = await body_as(DeploymentRequest, request)
    return await tell(request, "deployment", attributes_of(body.data.attributes))


@router.post(
    "/deployments",
    summary="List deployments",
    dependencies=[Depends(admit_reader)],
    responses=answered(200, "Deployments", 401, 504, *BODY_REFUSALS),
    openapi_extra=described(READER, DeploymentsListRequest),
)
async def list_deployments(request: Request) -> Response:
    """Deployments that started from `from` to `to`, found by `query`; newest first unless `sort` says otherwise."""
    body = await body_as(DeploymentsListRequest, request)
    return await listing(request, "deployment", body.data.attributes)


@router.get(
    _one,
    summary="Get a deployment",
    dependencies=[Depends(admit_reader)],
    responses=answered(200, "Deployment", 404, *READER_REFUSALS),
    openapi_extra=described(READER),
)
async def get_deployment(request: Request, deployment_id: str) -> Response:
    """One deployment by its id."""
    return Answer({"data": shown(await fetched(request, "deployment", deployment_id))})


@router.delete(
    "/deployment/{deployment_id}",
    summary="Delete a deployment",
    status_code=202,
    response_class=Response,
    dependencies=[Depends(admit_reader)],
    responses=answered(202, None, 404, *READER_REFUSALS),
    openapi_extra=described(READER),
)
async def delete_deployment(request: Request, deployment_id: str) -> Response:
    """Answers once the deletion is on disk."""
    return await deleted(request, "deployment", deployment_id)


@router.patch(
    _one,
    summary="Mark a deployment as a change failure, or as stable",
    status_code=202,
    dependencies=[Depends(admit_reader)],
    responses=answered(202, "Nothing", 401, 404, 504, *BODY_REFUSALS),
    openapi_extra=described(READER, PatchRequest),
)
async def patch_deployment(request: Request, deployment_id: str) -> Response:
    """`remediation` names what ended the failure; its id is not looked up, its version is."""
    body = await body_as(PatchRequest, request)
    if body.data.id not in (None, deployment_id):
        raise Refusal(BAD_REQUEST, mistakes(['"data.id" and the id in the path are not the same']))
    await _patch(request, deployment_id, body.data.attributes)
    return Answer({"data": None}, 202)


@router.patch(
    "/deployments",
    summary="Mark the newest finished deployment of a version",
    status_code=202,
    response_class=Response,
    dependencies=[Depends(admit_reader)],
    responses=answered(202, None, 401, 404, 504, *BODY_REFUSALS),
    openapi_extra=described(READER, VersionPatchRequest),
)
async def patch_deployment_by_version(request: Request) -> Response:
    """As by id; of several deployments of the service, env and version, the one that finished last is meant."""
    wanted = (await body_as(VersionPatchRequest, request)).data.attributes
    names = (wanted.service.strip(), wanted.env.strip(), wanted.version.strip())
    event = await searched(request, intake_of(request).store.newest_finished, *names)
    if event is None:
        told = 'there is no deployment of service "{}" in env "{}" with version "{}"'
        raise Refusal(NOT_FOUND, mistakes([told.format(*(name[:128] for name in names))], NOT_FOUND))
    await _patch(request, event.event_id, wanted)
    return Response(status_code=202)


async def _patch(request: Request, deployment_id: str, wanted: PatchAttributes) -> None:
    changes: dict[str, Any] = {"change_failure": wanted.change_failure}
    if wanted.remediation is not None:
        remedied_by = wanted.remediation.id
        if wanted.remediation.version is not None:
            remedied_by = await _id_of_version(request, deployment_id, wanted.remediation.version.strip())
        changes["remediation"] = {"id": remedied_by, "type": wanted.remediation.type}
    if await in_thread(intake_of(request).store.update, "deployment", deployment_id, changes) is None:
        raise unknown("deployment", deployment_id)


async def _id_of_version(request: Request, deployment_id: str, version: str) -> str:
    failed = (await fetched(request, "deployment", deployment_id)).attributes
    service, env = (str(failed.get(name) or "").strip() for name in ("service", "env"))
    event = await searched(request, intake_of(request).store.newest_finished, service, env, version)
    if event is None:
        told = f'attribute "remediation.version": no deployment of this service and env has version "{version[:128]}"'
        raise Refusal(BAD_REQUEST, mistakes([told]))
    return event.event_id

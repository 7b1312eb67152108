"""What the routes of deployments and failures do."""

from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dora_pipeline.intake.store import StoredEvent, StoredType
from dora_pipeline.intake.web.bodies import (
    Body,
    DeploymentRequest,
    DeploymentsListRequest,
    FailureRequest,
    FailuresListRequest,
    ListAttributes,
    PatchAttributes,
    PatchRequest,
    VersionPatchRequest,
    attributes_of,
)
from dora_pipeline.intake.web.limits import body_of
from dora_pipeline.intake.web.read_model import JsonApiResponse, receipt, resource
from dora_pipeline.intake.web.refusals import NOT_FOUND, WrongRequest, unknown
from dora_pipeline.intake.web.wire import json_object
from dora_pipeline.intake.web.worker import worker_of

AnyBody = TypeVar("AnyBody", bound=Body)


async def create_deployment(request: Request) -> Response:
    """Tell a deployment.

    Answers once the event is on disk. The same sent again makes no second one.
    """
    body = await _body_as(DeploymentRequest, request)
    return await _kept(request, "deployment", attributes_of(body.data.attributes))


async def create_failure(request: Request) -> Response:
    """Tell a failure, or that it ended.

    Answers once the event is on disk. The same services, env and second of `started_at` are the same failure.
    """
    body = await _body_as(FailureRequest, request)
    return await _kept(request, "failure", attributes_of(body.data.attributes))


async def list_deployments(request: Request) -> Response:
    """List deployments.

    Deployments that started from `from` to `to`, found by `query`; newest first unless `sort` says otherwise.
    """
    body = await _body_as(DeploymentsListRequest, request)
    return await _listed(request, "deployment", body.data.attributes)


async def list_failures(request: Request) -> Response:
    """List failures.

    Failures that started from `from` to `to`, found by `query`; newest first unless `sort` says otherwise.
    """
    body = await _body_as(FailuresListRequest, request)
    return await _listed(request, "failure", body.data.attributes)


async def get_deployment(request: Request) -> Response:
    """Get a deployment.

    One deployment by its id.
    """
    event = await _event(request, "deployment", request.path_params["deployment_id"])
    return JsonApiResponse({"data": resource(event)})


async def get_failure(request: Request) -> Response:
    """Get a failure.

    One failure by its id.
    """
    event = await _event(request, "failure", request.path_params["failure_id"])
    return JsonApiResponse({"data": resource(event)})


async def delete_deployment(request: Request) -> Response:
    """Delete a deployment.

    Answers once the deletion is on disk.
    """
    return await _deleted(request, "deployment", request.path_params["deployment_id"])


async def delete_failure(request: Request) -> Response:
    """Delete a failure.

    Answers once the deletion is on disk.
    """
    return await _deleted(request, "failure", request.path_params["failure_id"])


async def patch_deployment(request: Request) -> Response:
    """Mark a deployment as a change failure, or as stable.

    `remediation` names what ended the failure; its id is not looked up, its version is.
    """
    deployment_id = request.path_params["deployment_id"]
    body = await _body_as(PatchRequest, request)
    if body.data.id not in (None, deployment_id):
        raise WrongRequest(['"data.id" and the id in the path are not the same'])
    await _patch(request, deployment_id, body.data.attributes)
    return JsonApiResponse({"data": None}, 202)


async def patch_deployment_by_version(request: Request) -> Response:
    """Mark the newest finished deployment of a version.

    As by id; of several deployments of the service, env and version, the one that finished last is meant.
    """
    wanted = (await _body_as(VersionPatchRequest, request)).data.attributes
    names = (wanted.service.strip(), wanted.env.strip(), wanted.version.strip())
    worker = worker_of(request)
    event = await worker.search(worker.store.newest_finished, *names)
    if event is None:
        message = 'there is no deployment of service "{}" in env "{}" with version "{}"'
        raise WrongRequest([message.format(*(name[:128] for name in names))], NOT_FOUND)
    await _patch(request, event.event_id, wanted)
    return Response(status_code=202)


async def _body_as(model: type[AnyBody], request: Request) -> AnyBody:
    """The body of a request. Raises Refusal or WireError, with every mistake, where it is not as the model says."""
    return model.of(json_object(await body_of(request)))


async def _kept(request: Request, event_type: StoredType, attributes: dict[str, Any]) -> Response:
    return JsonApiResponse(receipt(await worker_of(request).keep(event_type, attributes)))


async def _listed(request: Request, event_type: StoredType, wanted: ListAttributes) -> Response:
    worker = worker_of(request)
    events = await worker.search(
        worker.store.search,
        event_type,
        first=wanted.from_,
        last=wanted.to,
        query=wanted.query or "",
        sort=wanted.sort.removeprefix("-"),
        descending=wanted.sort.startswith("-"),
        limit=wanted.limit,
    )
    return JsonApiResponse({"data": [resource(event) for event in events]})


async def _event(request: Request, event_type: StoredType, event_id: str) -> StoredEvent:
    event = await run_in_threadpool(worker_of(request).store.get, event_type, event_id)
    if event is None:
        raise unknown(event_type, event_id)
    return event


async def _deleted(request: Request, event_type: StoredType, event_id: str) -> Response:
    if not await run_in_threadpool(worker_of(request).store.delete, event_type, event_id):
        raise unknown(event_type, event_id)
    return Response(status_code=202)


async def _patch(request: Request, deployment_id: str, wanted: PatchAttributes) -> None:
    changes: dict[str, Any] = {"change_failure": wanted.change_failure}
    if wanted.remediation is not None:
        remedied_by = wanted.remediation.id
        if wanted.remediation.version is not None:
            remedied_by = await _id_of_version(request, deployment_id, wanted.remediation.version.strip())
        changes["remediation"] = {"id": remedied_by, "type": wanted.remediation.type}
    if await run_in_threadpool(worker_of(request).store.update, "deployment", deployment_id, changes) is None:
        raise unknown("deployment", deployment_id)


async def _id_of_version(request: Request, deployment_id: str, version: str) -> str:
    failed = (await _event(request, "deployment", deployment_id)).attributes
    service, env = (str(failed.get(name) or "").strip() for name in ("service", "env"))
    worker = worker_of(request)
    event = await worker.search(worker.store.newest_finished, service, env, version)
    if event is None:
        raise WrongRequest(
            [f'attribute "remediation.version": no deployment of this service and env has version "{version[:128]}"']
        )
    return event.event_id

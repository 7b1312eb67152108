"""The routes: who may ask, what is demanded, and which answers there are."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dora_pipeline.intake.web import monitoring, webhooks
from dora_pipeline.intake.web.bodies import (
    Body,
    DeploymentRequest,
    DeploymentsListRequest,
    FailureRequest,
    FailuresListRequest,
    PatchRequest,
    VersionPatchRequest,
)
from dora_pipeline.intake.web.operations import (
    create_deployment,
    create_failure,
    delete_deployment,
    delete_failure,
    get_deployment,
    get_failure,
    list_deployments,
    list_failures,
    patch_deployment,
    patch_deployment_by_version,
)
from dora_pipeline.intake.web.worker import worker_of

Asker = Literal["anyone", "sender", "reader"]

_OF_EVERY_KEY = (403, 429, 503)
_OF_A_READER = (401,)
_OF_A_BODY = (400, 408, 413, 415)


@dataclass(frozen=True)
class Operation:
    """A method of a path. `schema` is that of the good answer, empty without one; `others` are refusals of its own.

    The endpoint's docstring is its summary and its description in the OpenAPI document.
    """

    method: str
    path: str
    endpoint: Callable[[Request], Awaitable[Response]]
    tag: str
    asker: Asker
    body: type[Body] | Literal["delivery"] | None = None
    status: int = 200
    schema: str | None = None
    others: tuple[int, ...] = ()
    is_deprecated: bool = False
    is_described: bool = True

    @property
    def refusals(self) -> list[int]:
        """The statuses of all refusals."""
        of_keys = () if self.asker == "anyone" else _OF_EVERY_KEY
        of_reader = _OF_A_READER if self.asker == "reader" else ()
        return sorted({*of_keys, *of_reader, *(_OF_A_BODY if self.body else ()), *self.others})

    @property
    def route(self) -> Route:
        """The route; whoever may not ask is refused before anything of the body is read."""

        route = Route(self.path, _Endpoint(self))
        route.methods = {self.method}
        return route


@dataclass(frozen=True)
class _Endpoint:
    """What a route calls. Around a function Starlette would put a layer for errors, and with GET bring HEAD, too."""

    operation: Operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, asker = Request(scope, receive, send), self.operation.asker
        if asker == "sender":
            worker_of(request).door.admit_sender(request)
        elif asker == "reader":
            worker_of(request).door.admit_reader(request)
        response = await self.operation.endpoint(request)
        await response(scope, receive, send)


_DORA = "/api/v2/dora"
_DEPLOYMENTS, _FAILURES = "Deployments", "Failures"

OPERATIONS = (
    Operation(
        "POST", f"{_DORA}/deployment", create_deployment, _DEPLOYMENTS, "sender", DeploymentRequest, schema="Receipt"
    ),
    Operation(
        "POST",
        f"{_DORA}/deployments",
        list_deployments,
        _DEPLOYMENTS,
        "reader",
        DeploymentsListRequest,
        schema="Deployments",
        others=(504,),
    ),
    Operation(
        "GET",
        f"{_DORA}/deployments/{{deployment_id}}",
        get_deployment,
        _DEPLOYMENTS,
        "reader",
        schema="Deployment",
        others=(404,),
    ),
    Operation(
        "DELETE",
        f"{_DORA}/deployment/{{deployment_id}}",
        delete_deployment,
        _DEPLOYMENTS,
        "reader",
        status=202,
        others=(404,),
    ),
    Operation(
        "PATCH",
        f"{_DORA}/deployments/{{deployment_id}}",
        patch_deployment,
        _DEPLOYMENTS,
        "reader",
        PatchRequest,
        202,
        "Nothing",
        others=(404, 504),
    ),
    Operation(
        "PATCH",
        f"{_DORA}/deployments",
        patch_deployment_by_version,
        _DEPLOYMENTS,
        "reader",
        VersionPatchRequest,
        202,
        others=(404, 504),
    ),
    Operation("POST", f"{_DORA}/failure", create_failure, _FAILURES, "sender", FailureRequest, schema="Receipt"),
    Operation(
        "POST",
        f"{_DORA}/incident",
        create_failure,
        _FAILURES,
        "sender",
        FailureRequest,
        schema="Receipt",
        is_deprecated=True,
    ),
    Operation(
        "POST",
        f"{_DORA}/failures",
        list_failures,
        _FAILURES,
        "reader",
        FailuresListRequest,
        schema="Failures",
        others=(504,),
    ),
    Operation(
        "GET", f"{_DORA}/failures/{{failure_id}}", get_failure, _FAILURES, "reader", schema="Failure", others=(404,)
    ),
    Operation(
        "DELETE", f"{_DORA}/failure/{{failure_id}}", delete_failure, _FAILURES, "reader", status=202, others=(404,)
    ),
    Operation("POST", "/api/v2/webhook/", webhooks.take_delivery, "Webhooks", "sender", "delivery", 202),
    Operation("POST", "/api/v2/webhook", webhooks.take_delivery, "Webhooks", "sender", is_described=False),
    Operation("GET", "/healthz", monitoring.healthz, "Operating", "anyone"),
    Operation("GET", "/readyz", monitoring.readyz, "Operating", "anyone"),
    Operation("GET", "/metrics", monitoring.metrics, "Operating", "anyone"),
)

"""The route of PagerDuty's webhooks."""

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from dora_pipeline.intake.web.document import BODY_REFUSALS, SENDER, answered, described_delivery
from dora_pipeline.intake.web.limits import body_of
from dora_pipeline.intake.web.operations import admit_sender, in_thread, intake_of
from dora_pipeline.intake.web.refusals import BAD_REQUEST, Refusal, failure, mistakes
from dora_pipeline.intake.web.webhooks import WrongDelivery, WrongSignature, delivery

router = APIRouter(prefix="/api/v2", tags=["Webhooks"])


@router.post(
    "/webhook/",
    summary="Take a delivery of PagerDuty's v3 webhook",
    status_code=202,
    response_class=Response,
    dependencies=[Depends(admit_sender)],
    responses=answered(202, None, *BODY_REFUSALS),
    openapi_extra=described_delivery(SENDER),
)
@router.post("/webhook", include_in_schema=False, dependencies=[Depends(admit_sender)])
async def take_delivery(request: Request) -> Response:
    """Answers once the delivery is on disk. A delivery that comes again is kept once."""
    intake = intake_of(request)
    body = await body_of(request)
    try:
        told = await in_thread(delivery, body, request.headers, intake.webhook_secrets)
    except WrongSignature:
        raise Refusal(403, failure("Forbidden: the signature fits none of the webhook's secrets")) from None
    except WrongDelivery as error:
        raise Refusal(BAD_REQUEST, mistakes([str(error)])) from None
    if told is not None:
        await intake.tell("delivery", told.attributes, told.delivery_id)
    return Response(status_code=202)

"""A notice to a webhook for each run that failed for good."""

import os

import dagster as dg

from dora_pipeline.identifiers import without_credentials
from dora_pipeline.sending.notices import NotDelivered, post_notice

_ADDRESS = "DORA_FAILURE_WEBHOOK_URL"
_PAGE = "DORA_DAGSTER_URL"
_AT_ONCE = 20
_LONGEST = 2000
_FAILURES = dg.DagsterEventType.RUN_FAILURE


@dg.sensor(
    minimum_interval_seconds=30,
    # Whoever sets the address wants the notices.
    default_status=dg.DefaultSensorStatus.RUNNING
    if os.environ.get(_ADDRESS, "").strip()
    else dg.DefaultSensorStatus.STOPPED,
    description=f"Posts a notice of each failed run to the webhook in {_ADDRESS}, with a link where {_PAGE} is set.",
)
def failed_runs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Post the failures since the cursor, in order; it stops at the first that may be delivered later."""
    address = os.environ.get(_ADDRESS, "").strip()
    if not address:
        return dg.SensorResult(skip_reason=f"{_ADDRESS} is not set; no notices are posted")
    if context.cursor is None:
        return dg.SensorResult(skip_reason="notices begin with the next failure", cursor=_newest(context.instance))
    found = context.instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=int(context.cursor)),
        _AT_ONCE,
        ascending=True,
    )
    cursor = context.cursor
    for record in found.records:
        run = context.instance.get_run_by_id(record.run_id)
        if run is not None and run.tags.get("dagster/will_retry") != "true":
            try:
                post_notice(address, _notice(context.instance, run))
                context.log.info(f"run {run.run_id[:8]}: notice posted")
            except NotDelivered as error:
                if not error.is_lasting:
                    context.log.error(f"run {run.run_id[:8]}: {error}; the next tick tries again")
                    return dg.SensorResult(skip_reason=f"{error}; the next tick tries again", cursor=cursor)
                context.log.error(f"run {run.run_id[:8]}: {error}; this notice is given up")
        cursor = str(record.storage_id)
    return dg.SensorResult(skip_reason=f"{len(found.records)} failures", cursor=cursor)


def _newest(instance: dg.DagsterInstance) -> str:
    records = instance.fetch_run_status_changes(_FAILURES, 1).records
    return str(records[0].storage_id if records else 0)


def _notice(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, str | None]:
    """`text` is what Slack and its kin show."""
    page = os.environ.get(_PAGE, "").strip().rstrip("/")
    url = f"{page}/runs/{run.run_id}" if page else None
    error = _error(instance, run)
    text = f"Dagster run {run.run_id[:8]} of {run.job_name} failed: {error}"
    return {
        "text": f"{text}\n{url}" if url else text,
        "job": run.job_name,
        "run_id": run.run_id,
        "error": error,
        "url": url,
    }


def _error(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    steps = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    reasons = []
    for entry in steps:
        event = entry.dagster_event
        if event is None or event.event_type != dg.DagsterEventType.STEP_FAILURE:
            continue
        data = event.step_failure_data
        described = data.user_failure_data.description if data.user_failure_data else None
        reasons.append(f"{event.step_key}: {described or (data.error.message if data.error else 'unknown')}".strip())
    for entry in [] if reasons else instance.all_logs(run.run_id, of_type=_FAILURES):
        reasons.append(entry.message)
    return without_credentials("; ".join(reasons))[:_LONGEST]

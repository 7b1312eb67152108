"""Runs whose process is gone: Dagster's launcher does not look, and would let them hold their place until tomorrow."""

import os
import socket
from pathlib import Path

import dagster as dg

_PROCESS = "dora/process"
_GOING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def sign(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note on a run which process of which machine it is."""
    instance.add_run_tags(run_id, {_PROCESS: f"{socket.gethostname()} {os.getpid()} {_started_at(os.getpid())}"})


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process is gone, so that others need not wait for them and they are tried again.",
)
def lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Only runs of this machine are looked at."""
    instance = context.instance
    gone = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=_GOING)) if _is_gone(run)]
    # One that ended by itself meanwhile has said so before its process ended.
    lost = [run for run in map(instance.get_run_by_id, gone) if run is not None and run.status in _GOING]
    for run in lost:
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message="The process of this run has ended.")
        else:
            instance.report_run_failed(run, message="The process of this run has ended: killed, or out of memory.")
    names = ", ".join(run.run_id[:8] for run in lost)
    return dg.SkipReason(f"ended by others: {names}" if lost else "every run has its process")


def _is_gone(run: dg.DagsterRun) -> bool:
    host, pid, started_at = (*run.tags.get(_PROCESS, "").split(" "), "", "")[:3]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    # The number may belong to another process by now.
    return _started_at(int(pid)) != started_at


def _started_at(pid: int) -> str:
    """When a process started, in ticks since boot; empty where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""

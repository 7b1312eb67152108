"""Runs that have not ended: what they are about to do need not be started again."""

from datetime import date

import dagster as dg

from dora_pipeline.assets.jobs import select_sources
from dora_pipeline.assets.partitions import days_of

_WAITING = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
_AT_WORK = [dg.DagsterRunStatus.STARTED]


def waiting_reader(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """A run that has not begun, and reads the sources when it does; every run of assets does so."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_WAITING))
    return next((run for run in runs if run.job_name != select_sources.name), None)


def days_in_work(instance: dg.DagsterInstance) -> set[date]:
    """The days that runs load now, or are about to."""
    return days_of(instance.get_runs(dg.RunsFilter(statuses=[*_WAITING, *_AT_WORK])))

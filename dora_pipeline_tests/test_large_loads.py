"""More deployments in one load than DuckDB has rows in a group: DuckDB 2.0.0 lost all of them, and said nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from dora_pipeline_tests import large_homes
from dora_pipeline_tests.command import process
from dora_pipeline_tests.examples import TIMES
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.vendors.datadog import API_KEY, APP_KEY

# A group of rows has 122,880.
COUNT = 125_000


def _exported(home: TestHome, count: int) -> AbstractContextManager[None]:
    return nullcontext(large_homes.drop_export(home, count))


def _sent(home: TestHome, count: int) -> AbstractContextManager[None]:
    return nullcontext(large_homes.send(home, count))


# To pull so many takes minutes: that is for nights. What they share begins behind the doors.
_DOORS = [_exported, _sent, *([large_homes.pulling] if TIMES > 1 else [])]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("door", _DOORS)
def test_every_deployment_of_a_large_load_is_in_core_and_in_the_metrics(
    home: TestHome, monkeypatch: pytest.MonkeyPatch, door: Callable[[TestHome, int], AbstractContextManager[None]]
) -> None:
    monkeypatch.setenv("DD_API_KEY", API_KEY)
    monkeypatch.setenv("DD_APP_KEY", APP_KEY)
    with door(home, COUNT):
        answer = process(home.home.path, "run")
    assert answer.code == 0, answer.err
    assert home.rows("SELECT COUNT(*), COUNT(DISTINCT version) FROM core.deployments") == [(COUNT, COUNT)]
    assert home.rows("SELECT SUM(deployments) FROM metrics.daily") == [(COUNT,)]
    assert home.rows("SELECT COUNT(*) FROM core.rejected_events") == [(0,)]

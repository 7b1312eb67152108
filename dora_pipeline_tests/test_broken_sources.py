"""An exception that nobody expected in one source: it is that source's last error, and costs that source alone."""

from collections.abc import Callable

import dagster as dg
import duckdb
import polars as pl
import pytest

from dora_pipeline.cli.main import main
from dora_pipeline.errors import DoraError, SourceBroken, WarehouseError
from dora_pipeline.pipeline import exports
from dora_pipeline.pipeline.sources import SourceState, source_states
from dora_pipeline_tests.dagster_runs import days_run, job_run, statuses
from dora_pipeline_tests.homes import DEPLOYMENTS_BY_APM, DEPLOYMENTS_BY_EVENT, TestHome

_SECRET = "u+planted/Token=0815-a8f3c1d97e"
_DAY = "2024-05-06"


def raising(error: BaseException) -> Callable[..., None]:
    """A part of the program that raises this whatever it is asked."""

    def part(*given: object, **named: object) -> None:
        raise error

    return part


def state(home: TestHome, source: str) -> SourceState:
    """What `dora sources` shows of a source."""
    (found,) = (state for state in source_states(home.home) if state.source == source)
    return found


def panic() -> BaseException:
    """What Polars raises where its own code panics."""
    return pl.exceptions.PanicException("called `Option::unwrap()` on a `None` value")


@pytest.fixture
def telling(home: TestHome) -> TestHome:
    """A home in which an export tells one deployment, an event another, and a failure."""
    home.select("deployment", *DEPLOYMENTS_BY_EVENT, *DEPLOYMENTS_BY_APM)
    home.select("failure", "failure_event_api")
    home.drop_export(
        "one.jsonl", [{"timestamp": f"{_DAY}T10:00:00Z", "service": "web", "env": "prod", "version": "w1"}]
    )
    home.deploy("shop", f"{_DAY} 11:00:00")
    home.fail(["shop"], f"{_DAY} 12:00:00")
    return home


_FAULTS = {
    "ShapeError": lambda: pl.exceptions.ShapeError("expected 2 values when selecting columns by boolean mask, got 3"),
    "KeyError": lambda: KeyError("hits"),
    "PanicException": panic,
    "RecursionError": lambda: RecursionError("maximum recursion depth exceeded"),
    "ConstraintException": lambda: duckdb.ConstraintException("NOT NULL constraint failed: deployments.service"),
    "PermissionError": lambda: PermissionError(13, "Permission denied"),
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_an_exception_in_one_source_is_its_last_error_and_the_others_are_loaded(
    telling: TestHome, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(exports, "read_export", raising(_FAULTS[fault]()))
        with pytest.raises(SourceBroken, match=f"apm_deployment_tracking: {fault}: ") as raised:
            telling.run()
    assert telling.rows("SELECT service FROM core.deployments") == [("shop",)]
    assert telling.rows("SELECT SUM(deployments), SUM(failures) FROM metrics.daily") == [(1, 1)]
    told = state(telling, "apm_deployment_tracking")
    assert (told.error, told.read_at) == (str(raised.value), None)
    assert state(telling, "deployment_event_api").error is None
    telling.run()
    assert telling.rows("SELECT service FROM core.deployments ORDER BY ALL") == [("shop",), ("web",)]
    assert state(telling, "apm_deployment_tracking").error is None


def test_the_last_source_may_fail_as_well_as_the_first(telling: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    normalize = "dora_pipeline.sources.event_api.failures.normalize_failures"
    monkeypatch.setattr(normalize, raising(AttributeError("no such thing")))
    with pytest.raises(SourceBroken, match="failure_event_api: AttributeError: no such thing"):
        telling.run()
    assert telling.rows("SELECT service FROM core.deployments ORDER BY ALL") == [("shop",), ("web",)]


def test_the_command_ends_with_one_line_and_1_and_shows_where_only_when_asked(
    telling: TestHome, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DORA_HOME", str(telling.home.path))
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", _SECRET)
    error = ValueError(f"Bearer {_SECRET} at https://user:{_SECRET}@host/x\n{'shape: (3, 4) ' * 100}")
    monkeypatch.setattr(exports, "read_export", raising(error))
    monkeypatch.setattr("sys.argv", ["dora", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line == (
        "dora: apm_deployment_tracking: ValueError: Bearer *** at https://host/x (not expected; `dora --debug run` "
        "shows where)"
    )
    assert state(telling, "apm_deployment_tracking").error == line.removeprefix("dora: ")
    monkeypatch.setattr("sys.argv", ["dora", "--debug", "run"])
    with pytest.raises(SourceBroken) as raised:
        main()
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "ends_with"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device", "raw/x"), WarehouseError),
        (duckdb.IOException("Could not write file: No space left on device"), WarehouseError),
        (duckdb.FatalException("database has been invalidated"), WarehouseError),
        (WarehouseError("landing.deployments: rows were lost"), WarehouseError),
    ],
    ids=["stopped", "disk full", "DuckDB's disk full", "DuckDB broken", "rows lost"],
)
def test_what_concerns_the_whole_warehouse_ends_the_run(
    telling: TestHome, monkeypatch: pytest.MonkeyPatch, error: BaseException, ends_with: type[BaseException]
) -> None:
    monkeypatch.setattr(exports, "read_export", raising(error))
    with pytest.raises(ends_with):
        telling.run()
    assert not telling.home.warehouse.exists()


def test_in_dagster_the_days_are_loaded_and_the_reading_of_the_sources_fails(
    telling: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DORA_HOME", str(telling.home.path))
    monkeypatch.setattr(exports, "read_export", raising(KeyError("hits")))
    with dg.DagsterInstance.ephemeral() as instance:
        assert days_run(telling, instance, _DAY).success
        for asset in ("core/deployments", "core/failures", "metrics/daily"):
            assert statuses(telling, instance, asset, [_DAY]) == {_DAY: "MATERIALIZED"}
        read = job_run(telling, instance, "read_sources")
        assert [event.step_key for event in read.all_events if event.is_step_failure] == ["landing__source_states"]
    assert telling.rows("SELECT service FROM core.deployments") == [("shop",)]
    told = state(telling, "apm_deployment_tracking").error
    assert told is not None
    assert "KeyError: 'hits'" in told


def test_an_error_that_the_program_knows_keeps_its_words(telling: TestHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_INTAKE_URL", "sqlite:////proc/nowhere/events.sqlite3")
    with pytest.raises(DoraError, match="intake") as raised:
        telling.run()
    assert not isinstance(raised.value, SourceBroken)
    assert telling.rows("SELECT service FROM core.deployments") == [("web",)]

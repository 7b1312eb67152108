"""The standard suite: every source of the registry passes it, by its declaration and the fake vendor in its folder."""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from dora_pipeline.catalog import Catalog
from dora_pipeline.errors import ConfigError, SourceRejected
from dora_pipeline.pipeline.sources import source_states
from dora_pipeline.settings import HomeSettings
from dora_pipeline.sources.raw import PULLED_SCHEMA
from dora_pipeline.sources.registry import SOURCES
from dora_pipeline.sources.source import Source
from dora_pipeline.tables import LandedDeployments, LandedFailures, LandedRejects
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import NOON, contents, stamps
from dora_pipeline_tests.sources.account import Account, account_of
from dora_pipeline_tests.vendors.server import Fault, cut, hang_up, html, refused

# Events lie some minutes apart, so that none collides with another.
FIRST = NOON - timedelta(days=5)
MINUTE = timedelta(minutes=1)
# In place of so many requests in a row as are tried again: what the server refuses, and what answers no JSON.
FAULTS = [
    (refused(500, {}), refused(429, {}, retry_after="1"), hang_up),
    (html, cut, refused(200, {})),
]


@pytest.fixture(params=list(SOURCES))
def source(request: pytest.FixtureRequest) -> Source[Any]:
    return SOURCES[request.param]


@pytest.fixture
def account(source: Source[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    account = account_of(source.name)
    for name, value in account.secrets.items():
        monkeypatch.setenv(name, value)
    with account.vendor:
        yield account


@pytest.fixture
def pulling(home: TestHome, source: Source[Any], account: Account) -> TestHome:
    """A home that pulls from the account what happened since FIRST."""
    return prepared(home, source, account)


def prepared(home: TestHome, source: Source[Any], account: Account, since: datetime = FIRST) -> TestHome:
    home.settings(**account.settings())
    home.select(source.event_type, source.name, at=since)
    return home


def times(number: int) -> tuple[datetime, datetime]:
    """Start and end of the event of a number."""
    started = FIRST + timedelta(days=1) + 2 * number * MINUTE
    return started, started + MINUTE


def told(account: Account, *numbers: int) -> list[tuple[datetime, datetime]]:
    """Tell of events; their times."""
    for number in numbers:
        account.tell(number, *times(number))
    return [times(number) for number in numbers]


def loaded(home: TestHome, source: Source[Any]) -> list[tuple[Any, ...]]:
    query = f"SELECT started_at, finished_at FROM core.{source.event_type}s WHERE source = $1 ORDER BY 1"
    return home.rows(query, source.name)


def test_a_source_declares_what_a_user_meets(source: Source[Any], account: Account) -> None:
    assert SOURCES[source.name] is source
    assert source.name.isidentifier()
    assert source.event_type in ("deployment", "failure")
    assert source.lineage
    assert source.lineage == source.lineage.strip().rstrip(".")
    # Everything has a default: an empty file works.
    assert source.section(HomeSettings()) == source.settings()
    assert list(source.secrets) == list(account.secrets)


def test_the_events_of_a_source_are_loaded_and_a_second_run_changes_nothing(
    source: Source[Any], account: Account, pulling: TestHome
) -> None:
    expected = told(account, 1, 2, 300, 2000)
    assert pulling.run().days != []
    assert loaded(pulling, source) == expected
    assert pulling.rows("SELECT reason FROM core.rejected_events") == []
    tables, files = pulling.tables(), stamps(pulling)
    assert pulling.run().days == []
    assert pulling.tables() == tables
    assert stamps(pulling) == files


def test_a_rebuild_asks_nobody_and_gives_the_same_tables(
    source: Source[Any], account: Account, pulling: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(account, 1, 2, 300)
    pulling.run()
    tables = pulling.tables()
    account.vendor.asked.clear()
    for name in account.secrets:
        monkeypatch.delenv(name)
    assert rebuilt(pulling) == tables
    assert account.vendor.asked == []


def test_more_events_than_a_page_holds_are_all_loaded_once(
    source: Source[Any], account: Account, pulling: TestHome
) -> None:
    expected = told(account, *range(account.more_than_a_page))
    pulling.run()
    assert loaded(pulling, source) == expected


@pytest.mark.parametrize("faults", FAULTS, ids=["refusals", "answers"])
def test_faults_that_pass_cost_nothing(
    source: Source[Any], account: Account, pulling: TestHome, faults: Sequence[Fault]
) -> None:
    expected = told(account, 1, 2)
    account.vendor.spoil(*faults)
    pulling.run()
    assert loaded(pulling, source) == expected


def test_a_lasting_fault_fails_the_run_keeps_what_was_there_and_the_next_run_goes_on(
    source: Source[Any], account: Account, pulling: TestHome
) -> None:
    before = told(account, 1, 2)
    pulling.run()
    tables = pulling.tables()
    started = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    account.tell(3, started, started + MINUTE)
    account.vendor.spoil(refused(403, {}))
    with pytest.raises(SourceRejected, match=f"^{source.name}: "):
        pulling.run()
    assert pulling.tables() == tables
    states = {state.source: state.error for state in source_states(pulling.home)}
    assert states[source.name] is not None
    pulling.run()
    assert loaded(pulling, source) == [*before, (started, started + MINUTE)]
    assert {state.error for state in source_states(pulling.home)} == {None}


def test_an_event_that_is_corrected_within_the_days_that_are_read_again_is_loaded_as_it_is_now(
    source: Source[Any], account: Account, pulling: TestHome
) -> None:
    started = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    account.tell(1, started, started + MINUTE)
    pulling.run()
    account.tell(1, started, started + 3 * MINUTE)
    pulling.run()
    assert loaded(pulling, source) == [(started, started + 3 * MINUTE)]


def test_an_event_that_comes_again_with_an_end_that_cannot_be_stays_as_it_was(
    pulling: TestHome, source: Source[Any], account: Account
) -> None:
    started = NOON - timedelta(days=2)
    # Before its start, and in the future.
    ends = {1: NOON - timedelta(days=3), 2: datetime(2032, 1, 1, tzinfo=UTC)}
    for number in ends:
        account.tell(number, started + 5 * number * MINUTE, started + (5 * number + 1) * MINUTE)
    pulling.run()
    before = loaded(pulling, source)
    assert len(before) == len(ends)
    for number, end in ends.items():
        account.tell(number, started + 5 * number * MINUTE, end)
    pulling.run()
    assert loaded(pulling, source) == before
    assert pulling.rows("SELECT COUNT(*) FROM core.rejected_events") == [(len(ends),)]
    tables = pulling.tables()
    assert rebuilt(pulling) == tables


def test_a_failure_that_ends_weeks_later_is_loaded_as_ended(
    home: TestHome, source: Source[Any], account: Account
) -> None:
    # Longer ago than the days that are read again.
    started, finished = NOON - timedelta(days=20), NOON - timedelta(days=1)
    if source.event_type == "deployment":
        pytest.skip("deployments are over when they are told")
    pulling = prepared(home, source, account, since=started - timedelta(days=1))
    account.tell(1, started, None)
    pulling.run()
    assert loaded(pulling, source) == [(started, None)]
    account.tell(1, started, finished)
    pulling.run()
    assert loaded(pulling, source) == [(started, finished)]


def test_each_secret_that_is_missing_is_named_and_nobody_is_asked(
    source: Source[Any], account: Account, pulling: TestHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(account, 1)
    for name in source.secrets:
        with monkeypatch.context() as patch:
            patch.delenv(name)
            with pytest.raises(ConfigError, match=f"^{source.name}: .*{name}.* not set"):
                pulling.run()
    assert account.vendor.asked == []


def test_secrets_are_in_no_file_note_or_log(
    source: Source[Any], account: Account, pulling: TestHome, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told(account, 1, 2)
    account.vendor.spoil(refused(500, {}))
    pulling.run()
    texts = [repr(pulling.notes.notes).encode(), caplog.text.encode()]
    for secret in account.secrets.values():
        assert all(secret.encode() not in text for text in texts)
        for path, content in contents(pulling.home.path):
            assert secret.encode() not in content, path
    assert account.vendor.asked


ODD: list[Any] = [{}, {"id": 7}, {"attributes": []}, {"attributes": {"service": 7}}, {"created_at": [], "status": {}}]


@pytest.mark.parametrize("body", ODD, ids=json.dumps)
@pytest.mark.parametrize("state", ["present", "gone", "no_access"])
def test_an_odd_record_becomes_rows_of_the_landing_tables_or_rejects_and_no_error(
    source: Source[Any], body: Any, state: str
) -> None:
    records = pl.DataFrame([("r1", FIRST, NOON, state, json.dumps(body))], schema=PULLED_SCHEMA, orient="row")
    normalized = source.reader().normalize(records, HomeSettings(), Catalog({}))
    landed = LandedDeployments if source.event_type == "deployment" else LandedFailures
    assert set(normalized.events.columns) == set(landed.columns()) - {"input"}
    assert set(normalized.rejected.columns) == set(LandedRejects.columns()) - {"input"}
    assert normalized.events["source"].to_list() == [source.name] * normalized.events.height
    assert normalized.rejected["source"].to_list() == [source.name] * normalized.rejected.height


def test_the_ids_of_events_are_those_of_their_records_behind_the_prefix(
    source: Source[Any], account: Account, pulling: TestHome
) -> None:
    told(account, 1)
    pulling.run()
    [(event_id,)] = pulling.rows(f"SELECT {source.event_type}_id FROM core.{source.event_type}s")
    held = [
        json.loads(line)["record_id"]
        for path, content in contents(pulling.home.raw / source.name)
        if path.suffix == ".gz" and not content.startswith(b"\x1f\x8b")
        for line in content.splitlines()
    ]
    assert [source.event_prefix() + record_id for record_id in held] == [event_id]

"""PagerDuty's whole way, over HTTP and the raw layer into the tables: what it tells late, again, or not at all."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dora_pipeline.errors import ConfigError, SourceError, SourceRejected, SourceUnavailable
from dora_pipeline.pipeline.sources import source_states
from dora_pipeline_tests.command import call, process
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.pulled_homes import (
    NOON,
    TOKEN,
    Account,
    ago,
    contents,
    day,
    day_files,
    happened,
    stamps,
    windows,
)
from dora_pipeline_tests.vendors.pagerduty import FakePagerDuty, incident, merged_into, reference
from dora_pipeline_tests.vendors.server import FakeVendor, Fault, echo, refused

FAILURES = "SELECT failure_id, service, started_at, finished_at FROM core.failures ORDER BY failure_id"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)


@pytest.fixture
def account() -> Iterator[Account]:
    with FakeVendor() as vendor:
        yield Account(vendor, FakePagerDuty(vendor, TOKEN))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, account: Account) -> Callable[[TestHome], dict[str, list[str]]]:
    """Rebuilds a home without secrets, and sees that nobody was asked; the tables."""

    def rebuild(home: TestHome) -> dict[str, list[str]]:
        monkeypatch.delenv("PAGERDUTY_API_TOKEN")
        account.asked()
        tables = rebuilt(home)
        assert account.asked() == []
        monkeypatch.setenv("PAGERDUTY_API_TOKEN", TOKEN)
        return tables

    return rebuild


def told(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def row(number: int, service: str | None, started: str, finished: str | None) -> tuple[Any, ...]:
    return f"pagerduty:Q{number}", service, told(started), told(finished)


def test_incidents_become_failures(home: TestHome, account: Account) -> None:
    account.prepare(home, 40)
    account.add(happened(1, 35), happened(2, 3, None, service=reference("service", "PAPI", "api")))
    assert home.run().days == [day(35), day(3)]
    assert home.rows(FAILURES) == [row(1, "shop", ago(35), ago(35, 30)), row(2, "api", ago(3), None)]
    assert home.rows("SELECT failures, restores FROM metrics.daily ORDER BY day") == [(1, 1), (1, 0)]


def test_a_missing_secret_is_told_and_the_other_sources_are_loaded(
    home: TestHome, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.prepare(home, 40, "failure_event_api")
    home.fail(["api"], f"{NOON - timedelta(days=2):%Y-%m-%d %H:%M:%S}")
    monkeypatch.delenv("PAGERDUTY_API_TOKEN")
    with pytest.raises(ConfigError, match="pagerduty: the environment variable PAGERDUTY_API_TOKEN is not set"):
        home.run()
    assert home.rows("SELECT source, service FROM core.failures") == [("failure_event_api", "api")]
    states = {state.source: state for state in source_states(home.home)}
    assert "PAGERDUTY_API_TOKEN" in str(states["pagerduty"].error)
    assert states["pagerduty"].read_at is None
    assert (states["failure_event_api"].error, states["failure_event_api"].rows) == (None, 1)
    assert account.asked() == []


def test_an_error_is_shown_until_a_run_is_good_again(home: TestHome, account: Account) -> None:
    account.prepare(home, 5)
    account.vendor.spoil(refused(403, {"error": {"message": "Access Denied", "code": 2010}}))
    answer = call(home.home.path, "run")
    assert (answer.code, len(answer.err.splitlines())) == (1, 1)
    assert "PAGERDUTY_API_TOKEN" in answer.err
    assert "Access Denied" in call(home.home.path, "sources").out
    home.run()
    assert {state.error for state in source_states(home.home)} == {None}


def test_only_what_can_have_changed_is_asked_for_again(home: TestHome, account: Account) -> None:
    account.prepare(home, 100)
    account.add(*(happened(number, number, None if number == 50 else 30) for number in range(5, 100, 5)))
    home.run()
    first = account.asked()
    # Four windows of 30 days, and what is open.
    assert [since[:10] for since, _ in windows(first)] == [f"{day(100 - 30 * number)}" for number in range(4)]
    assert len(first) == 5
    before = stamps(home)
    assert len(before) == 19
    assert home.run().days == []
    again = account.asked()
    assert len(again) == 2
    [(since, until)] = windows(again)
    assert timedelta(days=7) <= datetime.fromisoformat(until) - datetime.fromisoformat(since) < timedelta(days=8)
    assert stamps(home) == before


def test_what_happened_is_asked_for_after_a_pull_by_a_clock_that_was_ahead(home: TestHome, account: Account) -> None:
    account.prepare(home, days=40)
    home.run()
    until = home.home.raw / "pagerduty" / "pulled_until"
    until.write_text((NOON + timedelta(days=20)).isoformat())
    account.add(happened(1, days=0.5))
    home.run()
    assert home.rows("SELECT failure_id FROM core.failures") == [("pagerduty:Q1",)]


def test_an_open_incident_that_resolves_three_weeks_later_is_asked_for_by_itself(
    home: TestHome, account: Account, offline: Callable[[TestHome], dict[str, list[str]]]
) -> None:
    account.prepare(home, 60)
    account.add(happened(1, 30), happened(2, 25, None), happened(3, 25), happened(4, 2))
    home.run()
    account.add(incident(2, ago(25), ago(4)))
    account.asked()
    before = stamps(home)
    assert home.run().days == [day(25)]
    assert [request.path for request in account.asked()] == ["/incidents", "/incidents", "/incidents/Q2"]
    assert home.rows(FAILURES)[1] == row(2, "shop", ago(25), ago(4))
    assert home.rows("SELECT day, restores FROM metrics.daily WHERE day = $1", day(4)) == [(day(4), 1)]
    after = stamps(home)
    assert [path for path in after if after[path] != before[path]] == [
        str(home.home.raw / "pagerduty" / f"{day(25)}.jsonl.gz")
    ]
    tables = home.tables()
    assert offline(home) == tables


def _reopened(account: Account) -> None:
    account.add(happened(1, 30, None, status="acknowledged"))


def _moved(account: Account) -> None:
    account.add(happened(2, 20, None, service=reference("service", "PAPI", "api")))


def _merged_at_once(account: Account) -> None:
    account.add(incident(2, ago(20), ago(1), resolve_reason=merged_into(3)))


def _merged_across_midnight(account: Account) -> None:
    account.add(incident(4, ago(10, 710), ago(1), resolve_reason=merged_into(5)))


def _deleted(account: Account) -> None:
    del account.pagerduty.incidents["Q2"]


def _withdrawn(account: Account) -> None:
    # Whoever lost access to an incident does not see it among those that are open either.
    account.add(happened(2, 20, status="resolved"))
    account.pagerduty.lost_access.add("Q2")


@pytest.mark.parametrize(
    ("change", "days", "changed"),
    [
        pytest.param(_reopened, [30], {1: ("shop", ago(30), None)}, id="re-opened"),
        pytest.param(_moved, [20], {2: ("api", ago(20), None)}, id="moved to another service"),
        pytest.param(_merged_at_once, [20], {2: None}, id="merged"),
        pytest.param(
            _merged_across_midnight, [10, 9], {4: None, 5: ("shop", ago(10, 710), None)}, id="merged across midnight"
        ),
        pytest.param(_withdrawn, [20], {2: ("shop", ago(20), None)}, id="out of access"),
    ],
)
def test_a_late_change_ends_right(
    home: TestHome,
    account: Account,
    offline: Callable[[TestHome], dict[str, list[str]]],
    change: Callable[[Account], None],
    days: list[int],
    changed: dict[int, tuple[str, str, str | None] | None],
) -> None:
    account.prepare(home, 60)
    # Q4 began at ten to midnight, Q5 at ten past it.
    account.add(
        happened(1, 30),
        happened(2, 20, None),
        happened(3, 20, 90, created_at=ago(20, 60)),
        incident(4, ago(10, 710)),
        incident(5, ago(10, 730)),
    )
    home.run()
    expected: dict[int, tuple[str, str, str | None] | None] = {
        1: ("shop", ago(30), ago(30, 30)),
        2: ("shop", ago(20), None),
        3: ("shop", ago(20, 60), ago(20, 90)),
        4: ("shop", ago(10, 710), None),
        5: ("shop", ago(10, 730), None),
    }
    assert home.rows(FAILURES) == [row(number, *values) for number, values in expected.items() if values]
    if change is _merged_at_once:
        changed = {**changed, 3: ("shop", ago(20), ago(20, 90))}
    change(account)
    assert home.run().days == [day(number) for number in days]
    assert home.rows(FAILURES) == [row(number, *values) for number, values in (expected | changed).items() if values]
    assert home.run().days == []
    tables = home.tables()
    assert offline(home) == tables


def test_a_deleted_incident_is_kept_and_ends_when_that_was_found(
    home: TestHome, account: Account, offline: Callable[[TestHome], dict[str, list[str]]]
) -> None:
    account.prepare(home, 60)
    account.add(happened(1, 20, None))
    home.run()
    account.pagerduty.incidents.clear()
    before = datetime.now(UTC)
    assert home.run().days == [day(20)]
    account.asked()
    assert home.run().days == []
    assert [request.path for request in account.asked()] == ["/incidents", "/incidents"]
    [(finished_at, tags)] = home.rows("SELECT finished_at, custom_tags FROM core.failures")
    assert before <= finished_at <= datetime.now(UTC)
    assert tags == ["record:gone"]
    tables = home.tables()
    assert offline(home) == tables


def test_an_incident_whose_start_moves_is_in_one_day_file_and_once_in_the_tables(
    home: TestHome, account: Account, offline: Callable[[TestHome], dict[str, list[str]]]
) -> None:
    account.prepare(home, 60)
    account.add(happened(1, 5), happened(2, 4), happened(3, 20, None), happened(4, 21, None))
    home.run()
    account.add(happened(1, 4, 15), happened(2, 5, 15), happened(3, 21, None), happened(4, 20, None))
    assert home.run().days == [day(21), day(20), day(5), day(4)]
    assert day_files(home) == {f"{day(21)}": ["Q3"], f"{day(20)}": ["Q4"], f"{day(5)}": ["Q2"], f"{day(4)}": ["Q1"]}
    assert home.rows(FAILURES) == [
        row(1, "shop", ago(4), ago(4, 15)),
        row(2, "shop", ago(5), ago(5, 15)),
        row(3, "shop", ago(21), None),
        row(4, "shop", ago(20), None),
    ]
    tables = home.tables()
    assert offline(home) == tables


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(refused(403, {"error": {"message": "Access Denied"}}), SourceRejected, id="for good"),
        pytest.param(refused(429, {"error": {}}, retry_after="9999"), SourceUnavailable, id="for hours"),
    ],
)
def test_a_run_that_fails_at_a_page_keeps_the_whole_windows_before_it(
    home: TestHome, account: Account, fault: Fault, error: type[SourceError]
) -> None:
    account.prepare(home, 100)
    account.add(*(happened(number, number) for number in range(13, 100, 8)))
    undisturbed = account.prepare(TestHome(home.home.path.with_name("undisturbed")), 100)
    undisturbed.run()
    account.vendor.spoil(None, None, fault)
    with pytest.raises(error, match="pagerduty: GET"):
        home.run()
    kept = [f"pagerduty:Q{number}" for number in range(45, 100, 8)]
    assert home.rows("SELECT failure_id FROM core.failures ORDER BY failure_id") == [(name,) for name in kept]
    assert sorted(f"pagerduty:{name}" for [name] in day_files(home).values()) == kept
    account.asked()
    home.run()
    asked = account.asked()
    # From a week before the end of the second window.
    assert [since[:10] for since, _ in windows(asked)] == [f"{day(47)}", f"{day(17)}"]
    assert len(asked) == 3
    assert home.tables() == undisturbed.tables()


def test_what_is_published_stays_when_the_next_run_fails(home: TestHome, account: Account) -> None:
    account.prepare(home, 60)
    account.add(happened(1, 20, None), happened(2, 2))
    home.run()
    before = home.tables()
    account.vendor.spoil(refused(403, {"error": {"message": "Access Denied"}}))
    with pytest.raises(SourceRejected):
        home.run()
    assert home.tables() == before


def test_incidents_before_the_first_selection_are_not_in_core(home: TestHome, account: Account) -> None:
    account.prepare(home, 10)
    account.add(happened(1, 12), happened(2, 11, None), incident(3, ago(10, -1), None), happened(4, 10))
    home.run()
    assert home.rows(FAILURES) == [row(4, "shop", ago(10), ago(10, 30))]


def test_a_catalog_change_is_for_incidents_that_were_pulled_before(
    home: TestHome,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    offline: Callable[[TestHome], dict[str, list[str]]],
) -> None:
    account.prepare(home, 60)
    account.add(happened(1, 40), happened(2, 3), happened(3, 2, service=reference("service", "PAPI", "api")))
    home.run()
    account.asked()
    home.home.services.mkdir()
    (home.home.services / "checkout.yaml").write_text(
        "schema-version: v2.2\ndd-service: checkout\nteam: sales\n"
        "integrations: {pagerduty: {service-url: 'https://acme.pagerduty.com/service-directory/PSHOP'}}\n"
    )
    assert home.run().days == [day(40), day(3)]
    # The usual window and what is open, nothing more.
    assert len(account.asked()) == 2
    assert home.rows("SELECT failure_id, service, team FROM core.failures ORDER BY failure_id") == [
        ("pagerduty:Q1", "checkout", "sales"),
        ("pagerduty:Q2", "checkout", "sales"),
        ("pagerduty:Q3", "api", None),
    ]
    tables = home.tables()
    assert offline(home) == tables


def test_a_setting_that_leaves_services_out_is_for_incidents_that_were_pulled_before(
    home: TestHome, account: Account, offline: Callable[[TestHome], dict[str, list[str]]]
) -> None:
    account.prepare(home, 60)
    account.add(happened(1, 40), happened(2, 30, service=reference("service", "PAPI", "api")))
    home.run()
    home.settings(sources={"pagerduty": {"api_url": account.vendor.url, "service_ids": ["PAPI"]}})
    home.run()
    assert home.rows(FAILURES) == [row(2, "api", ago(30), ago(30, 30))]
    tables = home.tables()
    assert offline(home) == tables


def test_what_is_asked_for_later_is_pulled_from_the_beginning(
    home: TestHome, account: Account, offline: Callable[[TestHome], dict[str, list[str]]]
) -> None:
    account.prepare(home, 60)
    other = {"service": reference("service", "PAPI", "api")}
    account.add(happened(1, 90, 30), happened(2, 40, 30), happened(3, 40, 30, **other), happened(4, 2))
    home.settings(sources={"pagerduty": {"api_url": account.vendor.url, "service_ids": ["PSHOP"]}})
    home.run()
    assert [name for name, *_ in home.rows(FAILURES)] == ["pagerduty:Q2", "pagerduty:Q4"]
    home.settings(sources={"pagerduty": {"api_url": account.vendor.url}})
    home.run()
    assert [name for name, *_ in home.rows(FAILURES)] == ["pagerduty:Q2", "pagerduty:Q3", "pagerduty:Q4"]
    # As the message of `dora select` says.
    log = home.home.selection_log.read_text()
    home.home.selection_log.write_text(log.replace(f"{day(60)}", f"{day(100)}"))
    home.run()
    assert [name for name, *_ in home.rows(FAILURES)] == [f"pagerduty:Q{number}" for number in range(1, 5)]
    account.asked()
    home.run()
    # The usual window and what is open, nothing more.
    assert len(account.asked()) == 2
    tables = home.tables()
    assert offline(home) == tables


def test_the_token_is_in_no_file_no_message_and_no_log(
    home: TestHome, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    account.prepare(home, 40)
    account.add(happened(1, 35), happened(2, 3, None))
    account.vendor.spoil(echo(400))
    texts = []
    for options in (["--debug", "run"], ["run"]):
        answer = process(home.home.path, *options)
        texts += [answer.out, answer.err]
    assert "bad request" in texts[1]
    assert "Traceback" in texts[1]
    account.vendor.spoil(echo(400))
    with pytest.raises(SourceRejected, match="bad request") as raised:
        home.run()
    home.run()
    assert {request.headers["authorization"] for request in account.asked()} == {f"Token token={TOKEN}"}
    assert not [text for text in (*texts, str(raised.value), caplog.text, *home.notes.notes) if TOKEN in text]
    files = list(contents(home.home.path))
    assert any(b"Checkout is slow" in content for _, content in files)
    assert not [path for path, content in files if TOKEN.encode() in content]

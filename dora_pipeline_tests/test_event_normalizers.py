import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora_pipeline.config import Settings
from dora_pipeline.intake.store.event import json_text
from dora_pipeline.sources.event_api.deployments import normalize_deployments
from dora_pipeline.sources.event_api.failures import normalize_failures
from dora_pipeline.sources.event_rules import Normalized
from dora_pipeline.tables import LandedDeployments, LandedFailures, LandedRejects, Table
from dora_pipeline_tests.examples import examples

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)
SECOND = 1_714_996_800
RECEIVED = datetime(2024, 5, 6, 13, tzinfo=UTC)
SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"

RECORDS = {
    "record_id": pl.String,
    "received_at": pl.Datetime("us", "UTC"),
    "changed_at": pl.Datetime("us", "UTC"),
    "is_deleted": pl.Boolean,
    "attributes": pl.String,
}


def records(*attributes: dict[str, Any] | str | None, changed_at: datetime = RECEIVED) -> pl.DataFrame:
    texts = [json.dumps(each) if isinstance(each, dict) else each for each in attributes]
    rows = [(f"id-{number}", RECEIVED, changed_at, False, text) for number, text in enumerate(texts)]
    return pl.DataFrame(rows, schema=RECORDS, orient="row")


def deployment(**changes: Any) -> dict[str, Any]:
    return {"service": "shop", "started_at": SECOND, "finished_at": SECOND + 60} | changes


def failure(**changes: Any) -> dict[str, Any]:
    return {"services": ["shop"], "started_at": SECOND} | changes


def one_deployment(attributes: dict[str, Any], settings: Settings | None = None) -> dict[str, Any]:
    normalized = normalize_deployments(records(attributes), settings or Settings())
    assert normalized.rejected.rows() == []
    return normalized.events.row(0, named=True)


def one_failure(attributes: dict[str, Any], settings: Settings | None = None) -> dict[str, Any]:
    normalized = normalize_failures(records(attributes), settings or Settings())
    assert normalized.rejected.rows() == []
    assert normalized.events.height == 1
    return normalized.events.row(0, named=True)


def one_reject(normalized: Normalized) -> dict[str, Any]:
    assert normalized.events.rows() == []
    assert normalized.rejected.height == 1
    return normalized.rejected.row(0, named=True)


def schema_without_input(table: type[Table]) -> dict[str, pl.DataType]:
    return {name: column.dtype for name, column in table.columns().items() if name != "input"}


def test_a_full_deployment_becomes_a_row() -> None:
    told = deployment(
        service=" shop ",
        env="prod-eu",
        version=" v1 ",
        team=" web ",
        git={"repository_url": "git@github.com:Org/App.git", "commit_sha": SHA.upper()},
        custom_tags=["b:2", "a:1", "b:2"],
        started_at=SECOND * 10**9 + 1_999,
        finished_at=(SECOND + 60) * 1000 + 5,
        change_failure=True,
        remediation={"id": "z_RwVLi7v4Y", "type": "rollback"},
    )
    settings = Settings(environments={"production": ("prod-*",)}, timezone="Asia/Tokyo")
    assert one_deployment(told, settings) == {
        "source": "deployment_event_api",
        "deployment_id": "id-0",
        "service": "shop",
        "env": "production",
        "version": "v1",
        "team": "web",
        "repository_id": "github.com/org/app",
        "commit_sha": SHA,
        "started_at": NOON + timedelta(microseconds=1),
        "finished_at": NOON + timedelta(seconds=60, milliseconds=5),
        "custom_tags": ["b:2", "a:1", "b:2"],
        "change_failure": True,
        "remediation_id": "z_RwVLi7v4Y",
        "remediation_type": "rollback",
        "received_at": RECEIVED,
        "day": date(2024, 5, 6),
    }


def test_a_bare_deployment_becomes_a_row_of_nulls() -> None:
    row = one_deployment(deployment())
    told = {"source", "deployment_id", "service", "started_at", "finished_at", "received_at", "day"}
    assert {name: value for name, value in row.items() if name not in told} == {
        "env": None,
        "version": None,
        "team": None,
        "repository_id": None,
        "commit_sha": None,
        "custom_tags": [],
        "change_failure": None,
        "remediation_id": None,
        "remediation_type": None,
    }


def test_a_full_failure_becomes_a_row_for_each_service() -> None:
    told = failure(
        services=["shop", " cart ", "shop ", ""],
        env="live",
        team="web",
        name=" Checkout is down ",
        severity="SEV-1",
        version="v1",
        git={"repository_url": "https://robot:hunter2@github.com/org/app", "commit_sha": "abcdef1"},
        custom_tags=["a:1"],
        finished_at=SECOND * 1000 + 90_500,
    )
    normalized = normalize_failures(records(told), Settings(environments={"production": ("live",)}))
    assert normalized.rejected.rows() == []
    rows = normalized.events.rows(named=True)
    assert [row.pop("service") for row in rows] == ["shop", "cart"]
    assert rows[0] == rows[1]
    assert rows[0] == {
        "source": "failure_event_api",
        "failure_id": "id-0",
        "env": "production",
        "team": "web",
        "name": "Checkout is down",
        "severity": "SEV-1",
        "version": "v1",
        "repository_id": "github.com/org/app",
        "commit_sha": "abcdef1",
        "url": None,
        "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=90.5),
        "time_to_restore_seconds": 90.5,
        "custom_tags": ["a:1"],
        "received_at": RECEIVED,
        "restored_day": date(2024, 5, 6),
        "day": date(2024, 5, 6),
    }


def test_an_open_failure_has_no_restore() -> None:
    row = one_failure(failure())
    assert (row["finished_at"], row["time_to_restore_seconds"], row["restored_day"]) == (None, None, None)


def test_a_failure_of_a_team_has_a_row_without_a_service() -> None:
    row = one_failure({"team": "web", "services": [" "], "started_at": SECOND})
    assert (row["service"], row["team"]) == (None, "web")


@pytest.mark.parametrize(
    "names",
    [
        {"services": ["shop"]},
        {"services": "shop"},
        {"service": "shop"},
        {"service": ["shop"]},
        {"services": [], "service": ["shop"]},
    ],
)
def test_services_are_understood_in_every_form_of_the_api(names: dict[str, Any]) -> None:
    assert one_failure(names | {"started_at": SECOND})["service"] == "shop"


def test_a_failure_as_the_list_calls_tell_it_is_understood() -> None:
    told = {
        "service": ["shop"],
        "env": ["prod"],
        "team": ["web", "web"],
        "name": "Checkout is down",
        "started_at": "2024-05-06T12:00:00Z",
        "finished_at": "2024-05-06T12:01:00Z",
        "custom": {},
    }
    row = one_failure(told)
    assert (row["service"], row["env"], row["team"], row["time_to_restore_seconds"]) == ("shop", "prod", "web", 60.0)


def test_a_repository_id_of_the_list_calls_is_understood() -> None:
    row = one_deployment(deployment(git={"repository_id": "github.com/org/app", "commit_sha": SHA}))
    assert (row["repository_id"], row["commit_sha"]) == ("github.com/org/app", SHA)


@pytest.mark.parametrize("blank", [None, "", "  \n"])
def test_blank_text_is_null(blank: str | None) -> None:
    row = one_deployment(
        deployment(env=blank, version=blank, team=blank, git={"commit_sha": blank, "repository_url": blank})
    )
    assert [row[name] for name in ("env", "version", "team", "commit_sha", "repository_id")] == [None] * 5
    row = one_failure(failure(env=blank, version=blank, team=blank, name=blank, severity=blank, git=None))
    assert [row[name] for name in ("env", "version", "team", "name", "severity")] == [None] * 5


@pytest.mark.parametrize(
    ("told", "understood"),
    [
        (SECOND, NOON),
        (SECOND * 10**3 + 7, NOON + timedelta(milliseconds=7)),
        (SECOND * 10**6 + 7, NOON + timedelta(microseconds=7)),
        (SECOND * 10**9 + 7_999, NOON + timedelta(microseconds=7)),
        (SECOND + 0.5, NOON + timedelta(seconds=0.5)),
        (str(SECOND * 1000), NOON),
        ("2024-05-06T12:00:00Z", NOON),
        (" 2024-05-06T14:00:00.000007999+02:00 ", NOON + timedelta(microseconds=7)),
        (946_684_800, datetime(2000, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_understood_by_magnitude_and_offset(told: object, understood: datetime) -> None:
    assert one_failure(failure(started_at=told))["started_at"] == understood


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (None, "time_missing"),
        ("", "time_missing"),
        (" ", "time_missing"),
        ("2024-05-06T12:00:00", "time_without_zone"),
        ("2024-05-06", "time_without_zone"),
        ("soon", "time_unreadable"),
        (True, "time_unreadable"),
        ([SECOND], "time_unreadable"),
        ({"at": SECOND}, "time_unreadable"),
        (946_684_799, "time_out_of_range"),
        (0, "time_out_of_range"),
        (-SECOND, "time_out_of_range"),
        (-(2**63), "time_out_of_range"),
        (-18_445_744_073_709, "time_out_of_range"),
        (7_258_118_400, "time_out_of_range"),
        (7_258_118_400 * 10**9, "time_out_of_range"),
        (2**63 - 1, "time_out_of_range"),
        (2**63, "time_out_of_range"),
        (10**40, "time_out_of_range"),
        (1e300, "time_out_of_range"),
        ("0001-01-01T00:00:00Z", "time_out_of_range"),
    ],
)
def test_a_start_that_is_no_instant_is_rejected(told: object, reason: str) -> None:
    reject = one_reject(normalize_deployments(records(deployment(started_at=told)), Settings()))
    assert (reject["reason"], reject["occurred_at"]) == (reason, NOON + timedelta(seconds=60))
    reject = one_reject(normalize_failures(records(failure(started_at=told)), Settings()))
    assert (reject["reason"], reject["occurred_at"], reject["day"]) == (reason, None, date(2024, 5, 6))


def test_a_start_that_is_not_told_is_rejected() -> None:
    reject = one_reject(normalize_deployments(records({"service": "shop", "finished_at": SECOND}), Settings()))
    assert reject["reason"] == "time_missing"


@pytest.mark.parametrize(
    ("told", "reason"),
    [("soon", "time_unreadable"), ("2024-05-06T12:00:00", "time_without_zone"), (5, "time_out_of_range")],
)
def test_a_finish_that_is_no_instant_is_rejected(told: object, reason: str) -> None:
    for normalized in (
        normalize_deployments(records(deployment(finished_at=told)), Settings()),
        normalize_failures(records(failure(finished_at=told)), Settings()),
    ):
        reject = one_reject(normalized)
        assert (reject["reason"], reject["occurred_at"]) == (reason, NOON)


@pytest.mark.parametrize("missing", [None, "", " "])
def test_a_deployment_without_a_finish_is_rejected(missing: str | None) -> None:
    reject = one_reject(normalize_deployments(records(deployment(finished_at=missing)), Settings()))
    assert (reject["reason"], reject["occurred_at"]) == ("finish_missing", NOON)
    assert one_failure(failure(finished_at=missing))["finished_at"] is None


def test_a_finish_before_the_start_is_rejected() -> None:
    backwards = {"started_at": SECOND, "finished_at": SECOND * 10**6 - 1}
    reject = one_reject(normalize_deployments(records(deployment(**backwards)), Settings()))
    assert reject["reason"] == "finished_before_started"
    reject = one_reject(normalize_failures(records(failure(**backwards)), Settings()))
    assert reject["reason"] == "finished_before_started"


def test_a_finish_in_the_moment_of_the_start_is_kept() -> None:
    assert one_deployment(deployment(finished_at=SECOND))["finished_at"] == NOON
    assert one_failure(failure(finished_at=SECOND))["time_to_restore_seconds"] == 0.0


def test_the_future_begins_five_minutes_after_the_newest_telling() -> None:
    tolerated = records(deployment(finished_at=SECOND + 300), changed_at=NOON)
    assert normalize_deployments(tolerated, Settings()).events.height == 1
    late = records(deployment(finished_at=(SECOND + 300) * 10**6 + 1), changed_at=NOON)
    reject = one_reject(normalize_deployments(late, Settings()))
    assert (reject["reason"], reject["occurred_at"]) == ("time_in_future", NOON)
    reject = one_reject(normalize_failures(records(failure(started_at=SECOND + 301), changed_at=NOON), Settings()))
    assert reject["reason"] == "time_in_future"
    reject = one_reject(normalize_failures(records(failure(finished_at=SECOND + 301), changed_at=NOON), Settings()))
    assert reject["reason"] == "time_in_future"


@pytest.mark.parametrize("missing", [{"service": None}, {"service": " "}, {"service": "", "team": "web"}])
def test_a_deployment_without_a_service_is_rejected(missing: dict[str, Any]) -> None:
    reject = one_reject(normalize_deployments(records(deployment(**missing)), Settings()))
    assert (reject["reason"], reject["service"]) == ("service_missing", None)


@pytest.mark.parametrize("missing", [{}, {"services": []}, {"services": ["", " "], "team": " "}, {"service": None}])
def test_a_failure_without_service_and_team_is_rejected(missing: dict[str, Any]) -> None:
    reject = one_reject(normalize_failures(records({"started_at": SECOND} | missing), Settings()))
    assert reject["reason"] == "service_missing"


@pytest.mark.parametrize(
    "wrong",
    [
        {"service": 5},
        {"service": ["shop"]},
        {"service": {"name": "shop"}},
        {"env": 1},
        {"env": ["prod"]},
        {"version": 1.5},
        {"version": True},
        {"team": {}},
        {"git": "main"},
        {"git": [SHA]},
        {"git": {"commit_sha": 5}},
        {"git": {"commit_sha": "abcdef"}},
        {"git": {"commit_sha": "abcdefg"}},
        {"git": {"commit_sha": "a" * 65}},
        {"git": {"commit_sha": f"{SHA} x"}},
        {"git": {"repository_url": ["x"]}},
        {"custom_tags": "a:1"},
        {"custom_tags": ["a:1", 2]},
        {"custom_tags": [None]},
        {"change_failure": "yes"},
        {"remediation": "rollback"},
        {"remediation": {"id": 7}},
        {"custom_tags": {}},
    ],
)
def test_a_deployment_with_a_field_of_a_wrong_type_is_rejected(wrong: dict[str, Any]) -> None:
    reject = one_reject(normalize_deployments(records(deployment(**wrong)), Settings()))
    assert (reject["reason"], reject["occurred_at"]) == ("field_type", NOON + timedelta(seconds=60))
    assert reject["service"] == (None if "service" in wrong else "shop")
    assert json.loads(reject["payload"]) == {"id": "id-0"} | deployment(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"services": 5},
        {"services": ["shop", None]},
        {"services": {"shop": 1}},
        {"service": [5], "services": None},
        {"env": ["prod", "staging"]},
        {"env": [1]},
        {"team": ["web", "ops"]},
        {"team": False},
        {"name": []},
        {"severity": 1},
        {"version": {}},
        {"git": 0},
        {"custom_tags": 0},
    ],
)
def test_a_failure_with_a_field_of_a_wrong_type_is_rejected(wrong: dict[str, Any]) -> None:
    reject = one_reject(normalize_failures(records(failure(**wrong)), Settings()))
    assert (reject["reason"], reject["occurred_at"]) == ("field_type", NOON)


@pytest.mark.parametrize(
    "text", [None, "", "[]", '"shop"', "null", "5", "{", "{'a': 1}", '{"a": NaN}', "[" * 100_000, '{"a":1}x']
)
def test_attributes_that_are_no_object_are_unreadable(text: str | None) -> None:
    for normalized in (normalize_deployments(records(text), Settings()), normalize_failures(records(text), Settings())):
        reject = one_reject(normalized)
        assert (reject["reason"], reject["service"], reject["occurred_at"]) == ("unreadable", None, None)
        json.loads(reject["payload"])


def test_one_record_has_one_reject_with_the_first_reason() -> None:
    everything = {"service": 5, "started_at": "soon", "finished_at": "soon"}
    no_service = {"service": "", "started_at": "soon", "finished_at": 5}
    no_start = {"service": "shop", "started_at": "soon", "finished_at": 5}
    no_finish = {"service": "shop", "started_at": SECOND, "finished_at": 5}
    backwards_in_future = {"service": "shop", "started_at": SECOND * 2, "finished_at": SECOND}
    told = records(everything, no_service, no_start, no_finish, backwards_in_future)
    normalized = normalize_deployments(told, Settings())
    assert normalized.events.height == 0
    assert normalized.rejected.select("record", "reason").rows() == [
        ("id-0", "field_type"),
        ("id-1", "service_missing"),
        ("id-2", "time_unreadable"),
        ("id-3", "time_out_of_range"),
        ("id-4", "finished_before_started"),
    ]


def test_a_reject_tells_where_when_and_what() -> None:
    told = failure(services=["shop", "cart"], team="web", name="ä", finished_at=SECOND - 1)
    settings = Settings(timezone="Pacific/Kiritimati")
    assert one_reject(normalize_failures(records(told), settings)) == {
        "source": "failure_event_api",
        "record": "id-0",
        "event_type": "failure",
        "reason": "finished_before_started",
        "service": "shop",
        "env": None,
        "team": "web",
        "occurred_at": NOON,
        "payload": '{"id": "id-0", "services": ["shop", "cart"], "started_at": 1714996800, "team": "web", '
        '"name": "ä", "finished_at": 1714996799}',
        "records": 1,
        "detected_at": RECEIVED,
        "day": date(2024, 5, 7),
    }


def test_a_reject_without_a_time_is_on_the_day_of_its_receipt() -> None:
    reject = one_reject(normalize_deployments(records("nothing"), Settings(timezone="Pacific/Kiritimati")))
    assert (reject["source"], reject["event_type"]) == ("deployment_event_api", "deployment")
    assert (reject["occurred_at"], reject["detected_at"], reject["day"]) == (None, RECEIVED, date(2024, 5, 7))
    assert reject["payload"] == '"nothing"'


def test_a_long_payload_is_cut_and_stays_json() -> None:
    short = deployment(service=7, name="x" * 19_000)
    long = deployment(service=7, name='"' * 20_000)
    payloads = normalize_deployments(records(short, long), Settings()).rejected["payload"]
    assert json.loads(payloads[0]) == {"id": "id-0"} | short
    cut = json.loads(payloads[1])
    assert list(cut) == ["beginning"]
    assert cut["beginning"] == json.dumps({"id": "id-1"} | long)[:20_000]


def test_credentials_never_reach_a_payload() -> None:
    secret = "https://robot:hunter2@github.com/org/app"
    whole = json.dumps(deployment(service=7, git={"repository_url": secret}))
    at_the_cut = json.dumps(deployment(service=7, name="x" * 19_890 + secret))
    told = records(whole, whole.replace("/", "\\/"), whole + "}", whole.replace("/", "\\/") + "}", at_the_cut)
    rejected = normalize_deployments(told, Settings()).rejected
    assert rejected["reason"].to_list() == ["field_type", "field_type", "unreadable", "unreadable", "field_type"]
    for payload in rejected["payload"]:
        assert "hunter2" not in payload
        assert "robot" not in payload


def test_half_an_emoji_does_not_cost_the_event() -> None:
    row = one_failure(failure(name="Checkout \ud83d", services=["shop\udea2", "shop\udea2"]))
    assert (row["name"], row["service"]) == ("Checkout ?", "shop?")
    assert one_failure(failure(name="Checkout 🚢"))["name"] == "Checkout 🚢"


def test_deleted_records_leave_no_trace() -> None:
    told = records(deployment(), "unreadable", deployment(service="cart")).with_columns(
        is_deleted=pl.Series([True, True, False])
    )
    normalized = normalize_deployments(told, Settings())
    assert normalized.events["service"].to_list() == ["cart"]
    assert normalized.rejected.height == 0
    assert normalize_failures(told.head(2), Settings()).rejected.height == 0


def test_no_records_make_empty_frames_of_the_tables() -> None:
    deployments, failures = normalize_deployments(records(), Settings()), normalize_failures(records(), Settings())
    assert dict(deployments.events.schema) == schema_without_input(LandedDeployments)
    assert dict(failures.events.schema) == schema_without_input(LandedFailures)
    assert dict(deployments.rejected.schema) == dict(failures.rejected.schema) == schema_without_input(LandedRejects)
    assert deployments.events.height == failures.events.height == deployments.rejected.height == 0


def test_frames_have_the_columns_of_the_tables() -> None:
    told = records(deployment(services=["shop"]), "nothing")
    deployments, failures = normalize_deployments(told, Settings()), normalize_failures(told, Settings())
    assert dict(deployments.events.schema) == schema_without_input(LandedDeployments)
    assert dict(failures.events.schema) == schema_without_input(LandedFailures)
    assert dict(deployments.rejected.schema) == dict(failures.rejected.schema) == schema_without_input(LandedRejects)


@pytest.mark.parametrize(
    ("finished", "day"),
    [
        ("2024-03-30T22:59:59.999999Z", date(2024, 3, 30)),
        ("2024-03-30T23:00:00Z", date(2024, 3, 31)),
        ("2024-03-31T21:59:59.999999Z", date(2024, 3, 31)),
        ("2024-03-31T22:00:00Z", date(2024, 4, 1)),
        ("2023-10-28T21:59:59Z", date(2023, 10, 28)),
        ("2023-10-28T22:00:00Z", date(2023, 10, 29)),
        ("2023-10-29T22:59:59Z", date(2023, 10, 29)),
        ("2023-10-29T23:00:00Z", date(2023, 10, 30)),
    ],
)
def test_days_are_those_of_the_zone_where_the_clocks_change(finished: str, day: date) -> None:
    berlin = Settings(timezone="Europe/Berlin")
    assert one_deployment(deployment(started_at="2023-01-01T00:00:00Z", finished_at=finished), berlin)["day"] == day
    row = one_failure(failure(started_at="2023-01-01T00:00:00Z", finished_at=finished), berlin)
    assert (row["day"], row["restored_day"]) == (date(2023, 1, 1), day)
    assert one_failure(failure(started_at=finished), berlin)["day"] == day


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from([SECOND, "", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
WELL_FORMED = {
    "service": st.sampled_from(["shop", " shop", ["shop"], "\ud800"]),
    "services": st.lists(st.sampled_from(["shop", " shop", "cart", ""]), max_size=3),
    "env": st.sampled_from(["prod", "staging", ["prod"]]),
    "team": st.sampled_from(["web", "ops", ""]),
    "version": st.text(max_size=3),
    "name": st.text(max_size=3),
    "severity": st.text(max_size=3),
    "started_at": st.sampled_from([SECOND, SECOND * 10**9, "2024-05-06T12:00:00Z"]),
    "finished_at": st.sampled_from([SECOND, SECOND + 5, "2024-05-06T12:10:00+01:00"]),
    "git": st.fixed_dictionaries({}, optional={"commit_sha": st.just(SHA) | JSON, "repository_url": st.text() | JSON}),
    "custom_tags": st.lists(st.text(max_size=3), max_size=3),
}
USUAL = {name: values for name, values in WELL_FORMED.items() if name != "started_at"}
ATTRIBUTES = (
    st.fixed_dictionaries({"started_at": WELL_FORMED["started_at"]}, optional=USUAL)
    | st.fixed_dictionaries({}, optional={name: values | JSON for name, values in WELL_FORMED.items()})
    | JSON
)


@settings(max_examples=examples(40))
@given(st.lists(ATTRIBUTES.map(json.dumps) | st.text(), max_size=6))
def test_every_record_ends_in_exactly_one_frame(texts: list[str]) -> None:
    told = records(*texts)
    for normalize, key in ((normalize_deployments, "deployment_id"), (normalize_failures, "failure_id")):
        normalized = normalize(told, Settings(environments={"production": ("prod*",)}))
        kept, rejected = normalized.events[key].unique().to_list(), normalized.rejected["record"].to_list()
        assert sorted(kept + rejected) == sorted(told["record_id"])
        assert normalized.events.select(key, "service").is_duplicated().sum() == 0
        for payload in normalized.rejected["payload"]:
            json.loads(payload)


# Where what is read as columns ends, and what is read one by one begins.
TEXTS = (
    "shop",
    "b c",
    "v1.2",
    SHA,
    "N/A",
    "none",
    " shop",
    "shop ",
    " ",
    "é",
    'q"',
    "\\",
    "{",
    "}",
    ",",
    "\t",
    "x" * 300,
)
TIMES = (SECOND, SECOND * 10**6 + 1, 5, -5, 10**17, 10**18, 2**64, SECOND + 0.5, str(SECOND), "2024-05-06T12:00:00Z")
CLOCKS = ("2024-05-06T12:00:00.5+00:00", "2024-05-06T12:00:00.1234567Z", "2024-02-30T12:00:00Z", "2024-05-06T12:00:60Z")
EDGES = (
    "1999-12-31T23:59:59Z",
    "2000-01-01T00:00:00Z",
    "2199-12-31T23:59:59.999999Z",
    "2200-01-01T00:00:00Z",
    "0000-01-01",
)
ODDITIES = (None, True, False, 1, 1.5, [], {}, ["shop"], ["shop", "shop"], ["a", "b"], {"id": "r", "type": "rollback"})


def test_many_events_are_read_as_few_are() -> None:
    values = (*TEXTS, *TIMES, *CLOCKS, *EDGES, *ODDITIES)
    fields = ("service", "services", "env", "team", "version", "name", "severity", "custom_tags", "change_failure")
    changes: list[dict[str, Any]] = [
        {name: value}
        for name in (*fields, "git", "remediation", "started_at", "finished_at", "more")
        for value in values
    ]
    changes += [
        {"git": {name: value}} for name in ("commit_sha", "repository_id", "repository_url") for value in values
    ]
    changes += [{"remediation": {name: value}} for name in ("id", "type") for value in values]
    mapped = Settings(environments={"production": ("sh*",)})
    for normalize, told in ((normalize_deployments, deployment), (normalize_failures, failure)):
        texts = [json_text(told(env="prod", version="v1") | change) for change in changes]
        texts += ["{}", "[]", "no JSON", '{"service":"shop",', '{"services":["shop"],']
        everything = records(*texts)
        parts = [normalize(part, mapped) for part in everything.iter_slices(50)]
        whole = normalize(everything, mapped)
        assert whole.events.height > 400
        assert whole.events.equals(pl.concat(part.events for part in parts))
        assert whole.rejected.equals(pl.concat(part.rejected for part in parts))


@pytest.mark.parametrize("version", ["N/A", "none", " NULL ", "Unknown", ""])
def test_a_version_that_says_that_there_is_none_is_no_version_of_an_event(version: str) -> None:
    assert one_deployment(deployment(version=version)) == one_deployment(deployment())
    assert one_failure(failure(version=version))["version"] is None


def test_a_time_in_small_letters_is_read() -> None:
    told = deployment(started_at="2024-05-06t12:00:00z", finished_at="2024-05-06 12:00:00z")
    assert one_deployment(told)["started_at"] == NOON

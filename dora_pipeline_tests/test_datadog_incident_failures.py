from datetime import UTC, date, datetime
from typing import Any

import pytest

from dora_pipeline.catalog import Catalog
from dora_pipeline.config import Settings
from dora_pipeline.settings import HomeSettings
from dora_pipeline.sources.datadog import DATADOG_INCIDENTS
from dora_pipeline.tables import LandedFailures, LandedRejects
from dora_pipeline_tests.datadog_incidents import (
    FETCHED,
    failure_rows,
    incident,
    moment,
    recorded,
    records,
    rejects,
    spans,
    states,
)


def only_row(told: dict[str, Any], **options: Any) -> dict[str, Any]:
    rows = failure_rows(told, **options)
    assert len(rows) == 1
    return rows[0]


def field(kind: str, value: object) -> dict[str, object]:
    return {"type": kind, "value": value}


def restore(**attributes: Any) -> tuple[datetime | None, float | None]:
    row = only_row(incident(**attributes))
    return row["finished_at"], row["time_to_restore_seconds"]


def test_a_resolved_incident_becomes_a_row() -> None:
    told = incident(
        7,
        fields={
            "teams": field("autocomplete", ["web"]),
            "envs": field("multiselect", ["prod"]),
            "region": field("dropdown", "eu"),
            "parts": field("multiselect", ["cart", "pay"]),
            "notes": field("textbox", "long"),
            "root_cause": field("textbox", "disk"),
            "detection_method": field("dropdown", "monitor"),
        },
    )
    settings = Settings(environments={"production": ("prod",)}, timezone="Asia/Tokyo")
    row = only_row(told, settings=settings)
    assert row == {
        "source": "datadog_incidents",
        "failure_id": "datadog_incidents:incident-7",
        "service": "shop",
        "env": "production",
        "team": "web",
        "name": "Shop is down",
        "severity": "SEV-2",
        "version": None,
        "repository_id": None,
        "commit_sha": None,
        "url": "https://app.datadoghq.com/incidents/7",
        "started_at": datetime(2026, 2, 1, 10, 0, tzinfo=UTC),
        "finished_at": datetime(2026, 2, 1, 10, 10, tzinfo=UTC),
        "time_to_restore_seconds": 600.0,
        "custom_tags": ["region:eu", "parts:cart", "parts:pay"],
        "received_at": datetime(2026, 2, 1, 10, 0, tzinfo=UTC),
        "restored_day": date(2026, 2, 1),
        "day": date(2026, 2, 1),
    }


def test_frames_have_the_columns_of_the_landing_tables_even_when_empty() -> None:
    normalized = DATADOG_INCIDENTS.reader().normalize(records(), Settings(), Catalog({}))
    for frame, table in ((normalized.events, LandedFailures), (normalized.rejected, LandedRejects)):
        expected = {name: column.dtype for name, column in table.columns().items() if name != "input"}
        assert frame.height == 0
        assert dict(frame.schema) == expected


def test_stable_time_between_two_active_times_is_left_out() -> None:
    analytics = states(
        active=spans((0, 60), (300, 420)), stable=spans((60, 300), (420, 500)), resolved=spans((500, None))
    )
    assert restore(field_analytics=analytics) == (moment(420), 180.0)


def test_spans_that_overlap_or_are_told_twice_count_once() -> None:
    analytics = states(active=spans((0, 60), (0, 60), (30, 90), (100, 110)), resolved=spans((110, None)))
    assert restore(field_analytics=analytics) == (moment(110), 100.0)


def test_the_restore_is_the_latest_end_of_an_active_span() -> None:
    analytics = states(active=spans((0, 100), (50, 60)), resolved=spans((100, None)))
    assert restore(field_analytics=analytics) == (moment(100), 100.0)


def test_the_time_to_restore_is_hidden_while_active() -> None:
    assert restore(state="active", resolved=None, field_analytics=states(active=spans((0, None)))) == (None, None)


def test_the_time_to_restore_is_shown_while_stable() -> None:
    analytics = states(active=spans((0, 60)), stable=spans((60, None)))
    assert restore(state="stable", resolved=None, field_analytics=analytics) == (moment(60), 60.0)


def test_the_time_to_restore_of_a_completed_incident_ends_when_it_was_active_last() -> None:
    analytics = states(active=spans((0, 60)), resolved=spans((60, 900)), completed=spans((900, None)))
    assert restore(state="completed", field_analytics=analytics) == (moment(60), 60.0)


def test_an_incident_active_again_after_it_was_resolved_is_hidden() -> None:
    analytics = states(active=spans((0, 60), (300, None)), resolved=spans((60, 300)))
    assert restore(state="active", field_analytics=analytics) == (None, None)


def test_stable_is_not_enough_once_a_resolved_incident_was_active_again() -> None:
    analytics = states(active=spans((0, 60), (300, 400)), resolved=spans((60, 300)), stable=spans((400, None)))
    assert restore(state="stable", field_analytics=analytics) == (None, None)


def test_an_incident_resolved_for_the_second_time_has_both_active_times() -> None:
    analytics = states(active=spans((0, 60), (300, 400)), resolved=spans((60, 300), (400, None)))
    assert restore(field_analytics=analytics) == (moment(400), 160.0)


def test_a_stable_incident_that_was_stable_before_stays_shown() -> None:
    analytics = states(active=spans((0, 60), (100, 160)), stable=spans((60, 100), (160, None)))
    assert restore(state="stable", resolved=None, field_analytics=analytics) == (moment(160), 120.0)


def test_an_unknown_state_is_open() -> None:
    assert restore(state="postmortem") == (None, None)


def test_the_state_of_an_old_answer_stands_among_the_fields() -> None:
    told = incident(fields={"state": field("dropdown", "active"), "severity": field("dropdown", "SEV-4")})
    del told["attributes"]["state"], told["attributes"]["severity"]
    row = only_row(told)
    assert (row["finished_at"], row["severity"]) == (None, "SEV-4")


def test_an_active_span_still_told_open_ends_where_the_next_state_began() -> None:
    analytics = states(active=spans((0, None), (0, None)), resolved=spans((90, None)))
    assert restore(field_analytics=analytics) == (moment(90), 90.0)


def test_an_active_span_still_told_open_ends_at_the_resolve_where_no_state_followed() -> None:
    assert restore(field_analytics=states(active=spans((0, None)))) == (moment(600), 600.0)


def test_an_active_span_does_not_end_at_a_resolve_before_it() -> None:
    analytics = states(active=spans((0, 60), (300, None)), resolved=spans((60, 300)))
    assert restore(resolved=moment(60).isoformat(), field_analytics=analytics) == (None, None)


def test_an_active_span_without_any_end_leaves_the_incident_open() -> None:
    assert restore(resolved=None, field_analytics=states(active=spans((0, None)))) == (None, None)


def test_an_incident_that_was_never_active_lasts_from_its_declaration_to_its_resolve() -> None:
    assert restore(field_analytics=states(resolved=spans((600, None)))) == (moment(600), 600.0)


def test_a_resolved_incident_without_a_resolve_time_ends_where_the_state_began() -> None:
    assert restore(resolved=None, field_analytics=states(resolved=spans((30, 50), (70, None)))) == (moment(70), 70.0)


def test_an_incident_that_was_never_active_ends_when_it_was_resolved_not_when_it_was_stable() -> None:
    analytics = states(stable=spans((0, 80)), resolved=spans((80, 90)), completed=spans((90, None)))
    assert restore(state="completed", resolved=None, field_analytics=analytics) == (moment(80), 80.0)


def test_a_single_incident_without_analytics_lasts_until_its_resolve() -> None:
    assert restore(field_analytics=None) == (moment(600), 600.0)


def test_a_resolved_incident_with_no_end_at_all_stays_open() -> None:
    assert restore(field_analytics=None, resolved=None) == (None, None)


def test_an_imported_incident_starts_when_it_was_declared_not_when_it_was_imported() -> None:
    imported = incident(created=moment(86_400).isoformat(), field_analytics=None)
    row = only_row(imported)
    assert (row["started_at"], row["day"], row["received_at"]) == (moment(0), date(2026, 2, 1), moment(86_400))


@pytest.mark.parametrize(("missing", "seconds"), [((), 20), (("declared",), 10), (("declared", "detected"), 30)])
def test_without_analytics_the_start_is_declared_then_detected_then_created(
    missing: tuple[str, ...], seconds: int
) -> None:
    times = {"declared": moment(20), "detected": moment(10), "created": moment(30)}
    told = {name: None if name in missing else time.isoformat() for name, time in times.items()}
    assert only_row(incident(field_analytics=None, **told))["started_at"] == moment(seconds)


def test_the_start_is_the_first_active_moment_where_that_is_known() -> None:
    analytics = states(stable=spans((0, 50)), active=spans((50, 60)), resolved=spans((60, None)))
    assert only_row(incident(field_analytics=analytics))["started_at"] == moment(50)


@pytest.mark.parametrize("change", [{"is_test": True}, {"archived": "2026-02-02T00:00:00+00:00"}])
def test_a_test_or_archived_incident_is_neither_a_row_nor_a_reject(change: dict[str, Any]) -> None:
    assert failure_rows(incident(**change)) == []


def test_every_impacted_service_has_a_row() -> None:
    rows = failure_rows(incident(fields={"services": field("autocomplete", ["shop", " cart ", "shop", ""])}))
    assert [(row["failure_id"], row["service"]) for row in rows] == [
        ("datadog_incidents:incident-1", "shop"),
        ("datadog_incidents:incident-1", "cart"),
    ]


@pytest.mark.parametrize("value", [None, []])
def test_an_incident_without_services_counts_without_one(value: object) -> None:
    assert only_row(incident(fields={"services": field("autocomplete", value)}))["service"] is None


def test_of_several_teams_and_environments_each_is_a_tag() -> None:
    fields = {"teams": field("autocomplete", ["web", "core"]), "Envs": field("multiselect", ["prod", "staging"])}
    row = only_row(incident(fields=fields))
    assert (row["team"], row["env"]) == (None, None)
    assert row["custom_tags"] == ["team:web", "team:core", "env:prod", "env:staging"]


def test_an_incident_that_names_no_environment_has_that_of_the_settings_and_one_of_several_has_none() -> None:
    told = {"environments": {"production": ["live"]}, "sources": {"datadog_incidents": {"env": "live"}}}
    settings = HomeSettings.model_validate(told)
    several = {"envs": field("multiselect", ["qa", "staging"])}
    assert only_row(incident(), settings=settings)["env"] == "production"
    assert only_row(incident(fields={"envs": field("multiselect", ["qa"])}), settings=settings)["env"] == "qa"
    assert only_row(incident(fields=several), settings=settings)["env"] is None


def test_two_names_of_one_environment_are_one_environment() -> None:
    settings = Settings(environments={"production": ("prod", "live")})
    row = only_row(incident(fields={"envs": field("multiselect", ["prod", "live"])}), settings=settings)
    assert (row["env"], row["custom_tags"]) == ("production", [])


@pytest.mark.parametrize(
    ("site", "url"),
    [
        ("datadoghq.eu", "https://app.datadoghq.eu/incidents/1"),
        ("us3.datadoghq.com", "https://us3.datadoghq.com/incidents/1"),
    ],
)
def test_the_page_of_an_incident_is_on_its_site(site: str, url: str) -> None:
    assert only_row(incident(), settings=Settings(datadog={"site": site}))["url"] == url


def test_an_open_incident_that_is_gone_is_closed_without_a_time_to_restore() -> None:
    told = incident(state="active", resolved=None, field_analytics=states(active=spans((0, None))))
    row = only_row(told, state="gone")
    assert (row["finished_at"], row["time_to_restore_seconds"]) == (FETCHED, None)
    assert row["custom_tags"] == ["record:gone"]


def test_a_restored_incident_that_is_gone_keeps_its_restore() -> None:
    row = only_row(incident(), state="gone")
    assert (row["finished_at"], row["time_to_restore_seconds"]) == (moment(600), 600.0)


def test_an_incident_out_of_access_stays_as_it_was_last_seen() -> None:
    told = incident(state="active", resolved=None, field_analytics=states(active=spans((0, None))))
    row = only_row(told, state="no_access")
    assert (row["finished_at"], row["custom_tags"]) == (None, ["record:no_access"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"field_analytics": None, "declared": "2026-02-01T10:00:00"}, "time_without_zone"),
        ({"field_analytics": None, "declared": "soon"}, "time_unreadable"),
        ({"field_analytics": None, "declared": None, "detected": None, "created": None}, "time_missing"),
        ({"field_analytics": {"state": {"active": {"spans": [{"start": "soon"}]}}}}, "time_unreadable"),
        ({"field_analytics": {"state": {"active": {"spans": {}}}}}, "field_type"),
        ({"field_analytics": []}, "field_type"),
        ({"field_analytics": states(active=spans((60, 0)))}, "finished_before_started"),
        ({"field_analytics": None, "resolved": moment(-1).isoformat()}, "finished_before_started"),
        ({"field_analytics": None, "declared": "2026-03-02T00:00:00Z", "resolved": None}, "time_in_future"),
        ({"title": 7}, "field_type"),
        ({"fields": []}, "field_type"),
        ({"fields": {"services": field("autocomplete", [7])}}, "field_type"),
    ],
)
def test_an_incident_that_cannot_be_used_is_a_reject_with_its_reason(change: dict[str, Any], reason: str) -> None:
    told = incident()
    told["attributes"] |= change
    assert [(reject["record"], reject["reason"]) for reject in rejects(told)] == [("incident-1", reason)]


def test_an_incident_without_attributes_is_a_reject() -> None:
    reject = rejects({"id": "incident-1", "type": "incidents"})[0]
    assert (reject["reason"], reject["detected_at"], reject["day"]) == ("field_type", FETCHED, date(2026, 3, 1))


@pytest.mark.parametrize(
    "value", ["2026-02-01T10:00:00.123456+00:00", "2026-02-01T10:00:00.123456Z", "2026-02-01T11:00:00.123456+01:00"]
)
def test_times_are_read_with_offsets_and_microseconds(value: str) -> None:
    told = incident(field_analytics=None, declared=value)
    assert only_row(told)["started_at"] == datetime(2026, 2, 1, 10, 0, 0, 123456, tzinfo=UTC)


def test_half_of_a_character_and_credentials_do_not_reach_the_table() -> None:
    row = only_row(incident(title="\ud83d https://user:secret@example.com/x"))
    assert row["name"] == "? https://example.com/x"


def test_recorded_answers_of_the_search_become_rows() -> None:
    told = [
        item["data"]
        for name in ("incident_search.json", "incident_search_pages.json")
        for pair in recorded(name)
        for item in pair["response"]["data"]["attributes"]["incidents"]
    ]
    new_year = datetime(2025, 1, 1, tzinfo=UTC)
    rows = failure_rows(*told)
    assert [(row["url"].rpartition("/")[2], row["started_at"], row["time_to_restore_seconds"]) for row in rows] == [
        ("336599", datetime(2026, 2, 16, 9, 47, 35, tzinfo=UTC), 1.0),
        ("336149", new_year, None),
        ("336131", new_year, None),
        ("336102", new_year, None),
        ("336084", new_year, None),
        ("128961", datetime(2023, 3, 28, 0, 12, 55, tzinfo=UTC), None),
        ("128960", datetime(2023, 3, 28, 0, 12, 52, tzinfo=UTC), 3.0),
        ("128959", datetime(2023, 3, 28, 0, 12, 47, tzinfo=UTC), None),
    ]
    assert rows[6]["finished_at"] == datetime(2023, 3, 28, 0, 12, 55, tzinfo=UTC)


def test_a_recorded_incident_without_analytics_becomes_a_row() -> None:
    row = only_row(recorded("incident_resolved.json")[0]["response"]["data"])
    assert row["started_at"] == datetime(2026, 2, 23, 14, 7, 13, 638926, tzinfo=UTC)
    assert row["finished_at"] == datetime(2026, 2, 23, 14, 7, 14, 35556, tzinfo=UTC)
    assert row["time_to_restore_seconds"] == 0.39663

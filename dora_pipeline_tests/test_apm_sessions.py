"""Compaction: a version's sightings of a day as spans without a silence longer than the quiet gap."""

import tempfile
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora_pipeline.config import Settings
from dora_pipeline.settings import HomeSettings
from dora_pipeline.sources.apm import sessions
from dora_pipeline.sources.apm.sessions import IDENTITY, SCHEMA, Cut, joined
from dora_pipeline_tests.apm_exports import SHA, csv_bytes, jsonl, reading, written
from dora_pipeline_tests.examples import examples

HOUR = timedelta(hours=1)


def sightings(*times: str, service: str = "shop", version: str = "1", **fields: object) -> list[dict[str, object]]:
    shared = {"service": service, "env": "prod", "version": version, **fields}
    return [{"timestamp": time, **shared} for time in times]


def spans(
    tmp_path: Path, records: list[dict[str, object]], settings: Settings
) -> list[tuple[str, str, str, int, date]]:
    found = reading(written(tmp_path / "x.jsonl", jsonl(*records)), settings).activity
    return [
        (version, f"{first:%d %H:%M:%S}", f"{last:%d %H:%M:%S}", count, day)
        for version, first, last, count, day in found.select(
            "version", "first_seen_at", "last_seen_at", "sightings", "day"
        ).iter_rows()
    ]


def with_gap(gap: str, zone: str = "UTC") -> Settings:
    return HomeSettings.model_validate({"timezone": zone, "sources": {"apm_deployment_tracking": {"quiet_gap": gap}}})


def test_a_silence_longer_than_the_quiet_gap_ends_a_session_and_one_as_long_does_not(tmp_path: Path) -> None:
    times = ["2026-03-01T10:00:00Z", "2026-03-01T10:45:00Z", "2026-03-01T11:45:00Z", "2026-03-01T12:45:00.000001Z"]
    day = date(2026, 3, 1)
    assert spans(tmp_path, sightings(*times), with_gap("1h")) == [
        ("1", "01 10:00:00", "01 11:45:00", 3, day),
        ("1", "01 12:45:00", "01 12:45:00", 1, day),
    ]


def test_sessions_end_at_midnight(tmp_path: Path) -> None:
    times = ["2026-03-01T23:50:00Z", "2026-03-01T23:59:59.999999Z", "2026-03-02T00:00:00Z", "2026-03-02T00:10:00Z"]
    assert spans(tmp_path, sightings(*times), with_gap("1h")) == [
        ("1", "01 23:50:00", "01 23:59:59", 2, date(2026, 3, 1)),
        ("1", "02 00:00:00", "02 00:10:00", 2, date(2026, 3, 2)),
    ]


def test_days_are_those_of_the_time_zone_also_where_they_have_23_or_25_hours(tmp_path: Path) -> None:
    # In Berlin 29 March 2026 lasts from 23:00 UTC to 22:00 UTC, 25 October from 22:00 UTC to 23:00 UTC.
    spring = ["2026-03-28T22:59:00Z", "2026-03-28T23:00:00Z", "2026-03-29T21:59:00Z", "2026-03-29T22:00:00Z"]
    autumn = ["2026-10-24T21:59:00Z", "2026-10-24T22:00:00Z", "2026-10-25T22:59:00Z", "2026-10-25T23:00:00Z"]
    found = reading(
        written(tmp_path / "x.csv", csv_bytes(*sightings(*spring))), with_gap("2d", "Europe/Berlin")
    ).activity
    assert found["day"].to_list() == [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]
    assert found["sightings"].to_list() == [1, 2, 1]
    path = written(tmp_path / "y.csv", csv_bytes(*sightings(*autumn)))
    found = reading(path, with_gap("2d", "Europe/Berlin"), modified_at=datetime(2026, 12, 1, tzinfo=UTC)).activity
    assert found["day"].to_list() == [date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 26)]
    assert found["sightings"].to_list() == [1, 2, 1]


def test_versions_side_by_side_have_sessions_of_their_own(tmp_path: Path) -> None:
    records = sightings("2026-03-01T10:00:00Z", "2026-03-01T10:20:00Z", "2026-03-01T10:40:00Z")
    records += sightings("2026-03-01T10:10:00Z", "2026-03-01T10:30:00Z", version="2")
    day = date(2026, 3, 1)
    assert spans(tmp_path, records, with_gap("30m")) == [
        ("1", "01 10:00:00", "01 10:40:00", 3, day),
        ("2", "01 10:10:00", "01 10:30:00", 2, day),
    ]


def test_aliases_of_an_environment_and_padded_names_share_their_sessions(tmp_path: Path) -> None:
    records = [
        {"timestamp": "2026-03-01T10:00:00Z", "service": "shop", "env": "prod-eu", "version": "1"},
        {"timestamp": "2026-03-01T10:40:00Z", "service": " shop", "env": "Production ", "version": "1 "},
        {"timestamp": "2026-03-01T11:20:00Z", "service": "shop", "env": "prod", "version": "1"},
    ]
    settings = Settings(environments={"production": ("prod-*", "Production", "prod")})
    found = reading(written(tmp_path / "x.jsonl", jsonl(*records)), settings).activity
    assert found.select("service", "env", "version", "sightings").rows() == [("shop", "production", "1", 3)]


def test_the_commit_is_that_of_the_earliest_sighting_that_has_one_and_of_two_the_smallest(tmp_path: Path) -> None:
    records = [
        *sightings("2026-03-01T10:00:00Z", team="web"),
        *sightings("2026-03-01T10:10:00Z", git_commit_sha="b" * 40, team="api"),
        *sightings("2026-03-01T10:10:00Z", git_commit_sha=SHA),
        *sightings("2026-03-01T10:20:00Z", git_commit_sha="0" * 40, git_repository_url="github.com/a/b"),
    ]
    found = reading(written(tmp_path / "x.jsonl", jsonl(*records))).activity
    assert found.select("commit_sha", "repository_id", "team", "sightings").rows() == [
        (SHA, "github.com/a/b", "web", 4)
    ]


def test_a_text_of_no_use_hides_no_later_one(tmp_path: Path) -> None:
    url = "https://example.com/org/app"
    records = [
        *sightings("2026-03-01T10:00:00Z", git_commit_sha="main", git_repository_url=" ", team=" "),
        *sightings("2026-03-01T10:10:00Z", git_commit_sha=SHA, git_repository_url=url, team="web"),
        *sightings("2026-03-01T10:20:00Z", git_commit_sha="0" * 40, git_repository_url=f"{url}s", team="api"),
    ]
    for name, content in {"x.jsonl": jsonl(*records), "x.csv": csv_bytes(*records)}.items():
        found = reading(written(tmp_path / name, content)).activity
        assert found.select("commit_sha", "repository_id", "team", "sightings").rows() == [
            (SHA, "example.com/org/app", "web", 3)
        ]


def oracle(
    records: list[tuple[int, str, str | None, str, str | None, int]], gap: timedelta, zone: ZoneInfo
) -> list[tuple[object, ...]]:
    """Sessions by the plainest means: each group sorted and walked through."""
    groups = defaultdict(list)
    for time, service, env, version, commit, hits in records:
        moment = datetime(2026, 3, 28, tzinfo=UTC) + timedelta(microseconds=time)
        day = moment.astimezone(zone).date()
        groups[service, env, version, day].append((moment, commit, hits))
    found = []
    for (service, env, version, day), seen in groups.items():
        session: list[tuple[datetime, str | None, int]] = []
        for sighting in [*sorted(seen, key=lambda one: (one[0], one[1] or "")), None]:
            if session and (sighting is None or sighting[0] - session[-1][0] > gap):
                first_commit = min(
                    ((at, commit) for at, commit, _ in session if commit not in (None, "main")), default=(None, None)
                )[1]
                hits = sum(hits for _, _, hits in session)
                found.append((service, env, version, session[0][0], session[-1][0], first_commit, hits, day))
                session = []
            if sighting is not None:
                session.append(sighting)
    return sorted(found, key=lambda row: (row[0], row[1] is not None, row[1] or "", row[2], row[3]))


MICROSECONDS = 3 * 24 * 3600 * 10**6


@settings(max_examples=examples(20))
@given(
    records=st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, MICROSECONDS),
                st.integers(0, 3 * 24 * 60).map(lambda minute: minute * 60 * 10**6),
            ),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["prod", None]),
            st.sampled_from(["1", "2"]),
            st.sampled_from([None, "main", "a" * 40, "b" * 40]),
            st.integers(1, 5),
        ),
        max_size=60,
    ),
    gap=st.integers(60, 3 * 3600),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    is_csv=st.booleans(),
)
def test_compaction_equals_the_oracle(
    records: list[tuple[int, str, str | None, str, str | None, int]], gap: int, zone: str, is_csv: bool
) -> None:
    start = int(datetime(2026, 3, 28, tzinfo=UTC).timestamp()) * 10**6
    told = [
        {"timestamp": start + time, "service": service, "env": env, "version": version, "git_commit_sha": commit}
        | {"hits": hits}
        for time, service, env, version, commit, hits in records
    ]
    with tempfile.TemporaryDirectory() as folder:
        content = csv_bytes(*told) if is_csv and told else jsonl(*told)
        path = written(Path(folder) / ("x.csv" if is_csv and told else "x.jsonl"), content)
        found = reading(path, with_gap(f"{gap}s", zone)).activity
    columns = ("service", "env", "version", "first_seen_at", "last_seen_at", "commit_sha", "sightings", "day")
    assert found.select(columns).rows() == oracle(records, timedelta(seconds=gap), ZoneInfo(zone))


def part(first: int, last: int, team: str | None = None, *, service: str = "shop", day: int = 0) -> pl.DataFrame:
    """One session of a part, in minutes of 1970-01-01."""
    minute = 60 * 10**6
    row = {"service": service, "env": "prod", "version": "1", "team": team, "first": first * minute}
    return pl.DataFrame([{**row, "last": last * minute, "sightings": 2, "records": 1, "day": day}], schema=SCHEMA)


@pytest.mark.parametrize("groups_at_once", [1, 2, 1 << 24])
def test_sessions_of_parts_are_joined_where_the_gap_between_them_is_no_longer_than_the_quiet_gap(
    monkeypatch: pytest.MonkeyPatch, groups_at_once: int
) -> None:
    # So many groups are numbered at once; of 27 million the numbers would be too large.
    monkeypatch.setattr(sessions, "_GROUPS_AT_ONCE", groups_at_once)
    parts = [part(130, 140, "till"), part(0, 10), part(70, 75, "web"), part(0, 500, service="cart")]
    for order in (parts, parts[::-1]):
        found = joined(order, IDENTITY, Cut(HOUR, ZoneInfo("UTC")))
        minutes = (pl.col("first", "last") // (60 * 10**6)).cast(pl.Int64)
        assert found.select("service", minutes, "sightings", "team").rows() == [
            ("cart", 0, 500, 2, None),
            ("shop", 0, 140, 6, "web"),
        ]
    apart = joined([part(0, 10), part(71, 75)], IDENTITY, Cut(HOUR, ZoneInfo("UTC")))
    assert apart["records"].to_list() == [1, 1]

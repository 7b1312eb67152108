"""Deployments inferred from sightings: by the plain reading of the rule, and whatever order the days come in."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dora_pipeline_tests import oracle
from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.oracle import Sighting

APM = "apm_deployment_tracking"
START = datetime(2024, 5, 6, tzinfo=UTC)
GAP = timedelta(hours=1)
ENVIRONMENTS = ("prod", "staging", None)
VERSIONS = ("1", "2", "3")


def sightings(random: Random) -> list[Sighting]:
    """Sightings of three days in which no two versions of a service are seen in one second; each service is a case."""
    found = []
    for number in range(30):
        # Steps of 20 minutes, so that silences of just the quiet gap are frequent; most near midnights.
        first, last = random.choice([(0, 3 * 72 - 1), (66, 82), (138, 154)])
        for _ in range(random.randint(3, 28)):
            env, version = random.choice(ENVIRONMENTS), random.choice(VERSIONS)
            offset = timedelta(seconds=10 * ENVIRONMENTS.index(env) + VERSIONS.index(version))
            late = timedelta(microseconds=random.choice([0, 0, 0, 1]))
            at = START + random.randint(first, last) * timedelta(minutes=20) + offset + late
            found.append(Sighting(at, f"s{number}", env, version))
    return found


def told(found: Iterable[Sighting]) -> list[dict[str, Any]]:
    return [
        {"timestamp": s.at.isoformat(), "service": s.service, "env": s.env, "version": s.version, "hits": 3}
        for s in found
    ]


def inferred(home: TestHome) -> set[Sighting]:
    rows = home.rows("SELECT finished_at, service, env, version, started_at FROM core.deployments")
    assert all(row[0] == row[4] for row in rows)
    assert len({row[:4] for row in rows}) == len(rows)
    return {Sighting(*row[:4]) for row in rows}


def home_of(path: Path, zone: str = "UTC") -> TestHome:
    home = TestHome(path)
    home.settings(timezone=zone, sources={APM: {"quiet_gap": "1h"}})
    home.select("deployment", APM)
    return home


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_sightings_split_over_files_in_any_way_give_the_deployments_of_the_oracle(tmp_path: Path, zone: str) -> None:
    random = Random(zone)
    found, home = sightings(random), home_of(tmp_path, zone)
    files: Mapping[int, list[Sighting]] = {number: [] for number in range(4)}
    for sighting in found:
        for number in random.sample(range(4), random.randint(1, 2)):
            files[number].append(sighting)
    for number, content in files.items():
        home.drop_export(f"{number}.jsonl", told(random.sample(content, len(content))))
    home.run()
    assert inferred(home) == oracle.inferred_deployments(found, GAP)
    assert home.rows("SELECT * FROM core.rejected_events") == []


@pytest.mark.parametrize(("zone", "order"), [("UTC", (2, 0, 3, 1)), ("Asia/Tokyo", (3, 1, 0, 2))])
def test_files_that_come_one_after_another_end_in_the_tables_of_all_at_once(
    tmp_path: Path, zone: str, order: Sequence[int]
) -> None:
    random = Random(zone)
    found = sightings(random)
    files = split_by_day(found, zone)
    # The fourth file overlaps the days of the others.
    files[3] = [sighting for sighting in found if random.random() < 0.5]
    one_by_one, at_once = home_of(tmp_path / "one by one", zone), home_of(tmp_path / "at once", zone)
    for number in order:
        one_by_one.drop_export(f"{number}.jsonl", told(files[number]))
        one_by_one.run()
    for number in range(4):
        at_once.drop_export(f"{number}.jsonl", told(files[number]))
    at_once.run()
    assert one_by_one.tables() == at_once.tables()
    assert inferred(one_by_one) == oracle.inferred_deployments([s for file in files.values() for s in file], GAP)


def split_by_day(found: Sequence[Sighting], zone: str) -> dict[int, list[Sighting]]:
    first = START.astimezone(ZoneInfo(zone)).date()
    files: dict[int, list[Sighting]] = {0: [], 1: [], 2: []}
    for sighting in found:
        files[min(2, (sighting.at.astimezone(ZoneInfo(zone)).date() - first).days)].append(sighting)
    return files


def see(service: str, *seen: tuple[str, str], env: str | None = "prod") -> list[dict[str, Any]]:
    """Sightings of (moment, version)."""
    return told(Sighting(moment(at), service, env, version) for at, version in seen)


def deployments(home: TestHome) -> list[tuple[str, str]]:
    """Moment and version."""
    rows = home.rows("SELECT finished_at, version FROM core.deployments ORDER BY finished_at, version")
    return [(f"{at:%m-%d %H:%M:%S}", version) for at, version in rows]


def test_a_version_is_deployed_at_its_first_sight_and_not_again_while_it_alone_is_seen(home: TestHome) -> None:
    home.select("deployment", APM)
    home.drop_export("a.jsonl", see("shop", ("2024-05-06 10:00:00", "1"), ("2024-05-08 10:00:00", "1")))
    home.run()
    assert deployments(home) == [("05-06 10:00:00", "1")]


def test_a_version_that_comes_back_is_a_deployment_only_after_the_quiet_gap(home: TestHome) -> None:
    home.select("deployment", APM)
    seen = see("shop", ("2024-05-06 10:00:00", "1"), ("2024-05-06 10:30:00", "2"))
    exactly = see("exact", ("2024-05-06 10:00:01", "1"), ("2024-05-06 10:30:01", "2"), ("2024-05-06 11:00:01", "1"))
    home.drop_export("a.jsonl", [*seen, *see("shop", ("2024-05-06 11:00:00.000001", "1")), *exactly])
    home.run()
    assert deployments(home) == [
        ("05-06 10:00:00", "1"),
        ("05-06 10:00:01", "1"),
        ("05-06 10:30:00", "2"),
        ("05-06 10:30:01", "2"),
        ("05-06 11:00:00", "1"),
    ]


def test_a_version_that_comes_back_after_another_one_days_ago_is_a_deployment(home: TestHome) -> None:
    home.select("deployment", APM)
    home.drop_export("1.jsonl", see("shop", ("2024-05-06 10:00:00", "1"), ("2024-05-06 12:00:00", "2")))
    home.drop_export("9.jsonl", see("shop", ("2024-05-09 10:00:00", "1")))
    home.run()
    assert deployments(home)[-1] == ("05-09 10:00:00", "1")


def test_versions_side_by_side_give_one_deployment_each(home: TestHome) -> None:
    home.select("deployment", APM)
    both = [
        (f"2024-05-0{day} {hour:02}:{minute}:0{version}", version)
        for day in (6, 7)
        for hour in range(24)
        for minute in (10, 40)
        for version in ("1", "2")
    ]
    home.drop_export("a.jsonl", see("shop", *both))
    home.run()
    assert deployments(home) == [("05-06 00:10:01", "1"), ("05-06 00:10:02", "2")]


def test_environments_and_services_are_apart(home: TestHome) -> None:
    home.select("deployment", APM)
    home.drop_export(
        "a.jsonl",
        [
            *see("shop", ("2024-05-06 10:00:00", "1"), ("2024-05-06 20:00:00", "1")),
            *see("shop", ("2024-05-06 15:00:00", "2"), env="staging"),
            *see("shop", ("2024-05-06 15:00:01", "2"), env=None),
            *see("cart", ("2024-05-06 15:00:00", "2")),
        ],
    )
    home.run()
    assert home.rows("SELECT service, env, version FROM core.deployments ORDER BY ALL NULLS LAST") == [
        ("cart", "prod", "2"),
        ("shop", "prod", "1"),
        ("shop", "staging", "2"),
        ("shop", None, "2"),
    ]


def test_an_earlier_day_told_later_moves_the_deployment_there(home: TestHome) -> None:
    home.select("deployment", APM)
    home.drop_export("2.jsonl", see("shop", ("2024-05-07 10:00:00", "1")))
    home.run()
    assert deployments(home) == [("05-07 10:00:00", "1")]
    home.drop_export("1.jsonl", see("shop", ("2024-05-06 10:00:00", "1")))
    home.run()
    assert deployments(home) == [("05-06 10:00:00", "1")]
    assert home.rows("SELECT CAST(day AS VARCHAR), deployments FROM metrics.daily") == [("2024-05-06", 1)]


def test_another_version_told_later_makes_a_return_a_deployment(home: TestHome) -> None:
    home.select("deployment", APM)
    home.drop_export("1.jsonl", see("shop", ("2024-05-06 10:00:00", "1"), ("2024-05-08 10:00:00", "1")))
    home.run()
    assert deployments(home) == [("05-06 10:00:00", "1")]
    home.drop_export("2.jsonl", see("shop", ("2024-05-07 10:00:00", "2")))
    home.run()
    assert deployments(home) == [("05-06 10:00:00", "1"), ("05-07 10:00:00", "2"), ("05-08 10:00:00", "1")]
    assert home.rows("SELECT kind FROM core.deployments ORDER BY finished_at DESC LIMIT 1") == [("rollback",)]


def test_an_export_that_is_replaced_or_gone_takes_its_deployments_with_it(home: TestHome) -> None:
    home.select("deployment", APM)
    home.drop_export("1.jsonl", see("shop", ("2024-05-06 10:00:00", "1"), ("2024-05-06 12:00:00", "2")))
    second = home.drop_export("2.jsonl", see("shop", ("2024-05-07 10:00:00", "3")))
    home.run()
    home.drop_export("1.jsonl", see("shop", ("2024-05-06 11:00:00", "1")))
    home.run()
    assert deployments(home) == [("05-06 11:00:00", "1"), ("05-07 10:00:00", "3")]
    second.unlink()
    home.run()
    assert deployments(home) == [("05-06 11:00:00", "1")]
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before


def test_the_same_export_twice_changes_nothing(home: TestHome) -> None:
    home.select("deployment", APM)
    seen = see("shop", ("2024-05-06 10:00:00", "1"), ("2024-05-07 12:00:00", "2"))
    home.drop_export("1.jsonl", seen)
    home.run()
    before = home.tables()
    home.drop_export("1.jsonl", seen)
    assert home.run().days == []
    assert home.tables() == before
    # The copy is newer and stands for both, so its days are read again.
    home.drop_export("copy.jsonl", seen)
    home.run()
    assert home.tables() == before


def test_files_that_name_different_commits_at_one_moment_end_in_the_same_tables_in_any_order(
    tmp_path: Path,
) -> None:
    contents = {
        name: [{**see("shop", ("2024-05-06 10:00:00", "1"))[0], "git.commit.sha": sha * 40, "team": name}]
        for name, sha in (("1", "b"), ("2", "a"), ("3", "c"))
    }
    homes = []
    for order in ("123", "321", "213"):
        home = home_of(tmp_path / order)
        for name in order:
            home.drop_export(f"{name}.jsonl", contents[name])
            home.run()
        homes.append(home)
    assert homes[0].tables() == homes[1].tables() == homes[2].tables()


def test_the_commit_that_a_later_sighting_names_is_found_however_the_sightings_are_split(home: TestHome) -> None:
    home.select("deployment", APM)
    home.drop_export("1.jsonl", see("shop", ("2024-05-06 10:00:00", "1")))
    home.drop_export("2.jsonl", [{**see("shop", ("2024-05-06 10:10:00", "1"))[0], "git.commit.sha": "a" * 40}])
    home.drop_export(
        "3.jsonl",
        [
            *see("cart", ("2024-05-06 10:00:00", "1")),
            {**see("cart", ("2024-05-06 10:10:00", "1"))[0], "git.commit.sha": "a" * 40},
        ],
    )
    home.run()
    assert home.rows("SELECT service, commit_sha FROM core.deployments ORDER BY service") == [
        ("cart", "a" * 40),
        ("shop", "a" * 40),
    ]


def test_two_versions_first_seen_in_one_second_collide(home: TestHome) -> None:
    home.select("deployment", APM)
    home.drop_export(
        "1.jsonl",
        [
            *see("shop", ("2024-05-06 10:00:00.500000", "2")),
            *see("shop", ("2024-05-06 10:00:00.100000", "1"), env="staging"),
        ],
    )
    home.run()
    assert deployments(home) == [("05-06 10:00:00", "1")]
    assert home.rows("SELECT reason, payload->>'version' FROM core.rejected_events") == [("same_second", "2")]


def test_a_ready_event_takes_the_place_of_the_deployment_inferred_near_it(home: TestHome) -> None:
    home.select("deployment", APM)
    attributes = {"service": "shop", "env": "prod", "version": "1", "started_at": "2024-05-06T23:55:00Z"}
    home.drop_export("1.jsonl", see("shop", ("2024-05-07 00:01:00", "1"), ("2024-05-07 05:00:00", "2")))
    home.run()
    home.drop_export("2.jsonl", [{"type": "dora_deployment", "id": "one", "attributes": attributes}])
    home.run()
    assert deployments(home) == [("05-06 23:55:00", "1"), ("05-07 05:00:00", "2")]
    before = home.tables()
    home.run(rebuild=True)
    assert home.tables() == before

"""Whatever is told, changed and taken back between runs, the tables end as those of a rebuild."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests import oracle_links
from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.homes import LONG_AGO, TestHome

START = datetime(2024, 3, 29, 22, tzinfo=UTC)
STAGES = 3

# Always the same examples; a failing one is shown as it is, since making it smaller takes minutes.
PROFILE = settings(
    max_examples=examples(2),
    derandomize=True,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

# Few moments, so that many events share a second, a merge window or a midnight of Berlin.
MOMENTS = st.builds(
    lambda minutes, seconds: START + timedelta(minutes=minutes, seconds=seconds),
    st.sampled_from([0, 55, 59, 60, 65, 125, 24 * 60, 25 * 60 + 5, 48 * 60, 49 * 60, 95 * 60]),
    st.sampled_from([0, 0, 0.5, 1, 299]),
)
SERVICES = st.sampled_from(["a", "a", "b"])
ENVIRONMENTS = st.sampled_from(["prod", "prod", "staging", None])
VERSIONS = st.sampled_from(["1", "2", "3"])
COMMITS = st.sampled_from([None, None, "a" * 40, "a" * 7 + "b" * 33, "a" * 7, "c" * 40])
TAGS = st.sampled_from([[], [], ["size:1"], ["deployment_id:d1"], ["deployment_id:d2", "deployment_id: d3", "x"]])
SOURCES = [("deployment_event_api",), ("apm_deployment_tracking",), ("apm_deployment_tracking", "deployment_event_api")]


@st.composite
def deployments(draw: st.DrawFn) -> dict[str, Any]:
    started = draw(MOMENTS)
    finished = started + draw(st.sampled_from([timedelta(0), timedelta(seconds=30), timedelta(days=1)]))
    return {
        "id": f"d{draw(st.integers(0, 9))}",
        "service": draw(SERVICES),
        "env": draw(ENVIRONMENTS),
        "version": draw(VERSIONS),
        "team": draw(st.sampled_from([None, "x"])),
        "git": {"commit_sha": draw(COMMITS)},
        "started_at": started.isoformat(),
        "finished_at": finished.isoformat(),
    }


@st.composite
def failures(draw: st.DrawFn) -> dict[str, Any]:
    started = draw(MOMENTS)
    outage = draw(st.sampled_from([None, timedelta(seconds=1), timedelta(hours=3), timedelta(days=2)]))
    return {
        "id": f"f{draw(st.integers(0, 5))}",
        "services": draw(st.lists(st.sampled_from(["a", "b", "none"]), max_size=2, unique=True)),
        "version": draw(st.sampled_from([None, None, "1", "3"])),
        "git": {"commit_sha": draw(COMMITS)},
        "custom_tags": draw(TAGS),
        "env": draw(ENVIRONMENTS),
        "team": draw(st.sampled_from(["x", "y"])),
        "started_at": started.isoformat(),
        "finished_at": (started + outage).isoformat() if outage else None,
    }


SIGHTINGS = st.fixed_dictionaries(
    {"timestamp": MOMENTS.map(datetime.isoformat), "service": SERVICES, "env": ENVIRONMENTS, "version": VERSIONS}
)


@st.composite
def exports(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """The new content of one of two files of sightings, or of one of two of ready events."""
    name = draw(st.sampled_from(["one", "two", "ready", "also-ready"]))
    if not name.endswith("ready"):
        return name, draw(st.lists(SIGHTINGS, max_size=8))
    told = draw(st.lists(deployments(), max_size=4))
    return name, [{"type": "dora_deployment", "id": item["id"], "attributes": item} for item in told]


STAGE = st.fixed_dictionaries(
    {
        "deployments": st.lists(deployments(), max_size=8),
        "failures": st.lists(failures(), max_size=5),
        "deleted": st.lists(st.sampled_from([f"{kind}{number}" for kind in "df" for number in range(6)]), max_size=2),
        "reopened": st.lists(st.sampled_from([f"f{number}" for number in range(6)]), max_size=2),
        "exports": st.lists(exports(), max_size=3),
        "sources": st.sampled_from(SOURCES),
        "team": st.sampled_from(["x", "z"]),
    }
)


def tell(home: TestHome, number: int, stage: dict[str, Any]) -> None:
    received_at = datetime(2024, 5, 1 + number, tzinfo=UTC)
    with EventStore.at(home.home) as store:
        store.append_many("deployment", stage["deployments"], received_at=received_at)
        store.append_many("failure", stage["failures"], received_at=received_at)
        for event_id in stage["deleted"]:
            store.delete("deployment" if event_id[0] == "d" else "failure", event_id, received_at=received_at)
        for event_id in stage["reopened"]:
            store.update("failure", event_id, {"finished_at": None}, received_at=received_at)
    for name, content in stage["exports"]:
        home.drop_export(f"{name}.jsonl", content)
    home.select("deployment", *stage["sources"], at=LONG_AGO + timedelta(days=number))
    definition = {"schema-version": "v2.2", "dd-service": "b", "team": stage["team"]}
    home.home.services.mkdir(exist_ok=True)
    (home.home.services / "b.yaml").write_text(json.dumps(definition))


@pytest.mark.slow
@settings(PROFILE)
@given(stages=st.lists(STAGE, min_size=STAGES, max_size=STAGES))
def test_any_changes_between_runs_end_in_the_tables_of_a_rebuild(
    tmp_path_factory: pytest.TempPathFactory, stages: list[dict[str, Any]]
) -> None:
    home = TestHome(tmp_path_factory.mktemp("late") / "home")
    home.settings(timezone="Europe/Berlin", link_window="1d", link_slack="2m")
    home.select("failure", "failure_event_api")
    for number, stage in enumerate(stages):
        tell(home, number, stage)
        home.run()
    rules = oracle_links.Rules(("b",), window=timedelta(days=1), slack=timedelta(minutes=2))
    assert oracle_links.found_links(home) == oracle_links.expected_links(home, rules)
    before = home.tables()
    assert home.run().days == []
    assert home.tables() == before
    home.run(rebuild=True)
    assert home.tables() == before


def test_an_export_that_goes_while_the_catalog_changes_leaves_nothing_behind(home: TestHome) -> None:
    home.select("deployment", "apm_deployment_tracking")
    at = "2024-05-06T10:00:00Z"
    ready = {"service": "a", "version": "1", "started_at": at, "finished_at": at}
    seen = {"timestamp": at, "service": "b", "env": "prod", "version": "1"}
    gone = home.drop_export("gone.jsonl", [{"type": "dora_deployment", "id": "d1", "attributes": ready}, seen])
    home.drop_export("kept.jsonl", [{**seen, "service": "c"}])
    home.run()
    assert len(home.rows("FROM core.deployments")) == 3
    gone.unlink()
    home.home.services.mkdir()
    (home.home.services / "c.yaml").write_text(json.dumps({"schema-version": "v2.2", "dd-service": "c", "team": "x"}))
    home.run()
    assert home.rows("SELECT service, team FROM core.deployments") == [("c", "x")]


def test_what_two_files_that_changed_together_both_tell_is_counted_for_both(home: TestHome) -> None:
    home.select("deployment", "apm_deployment_tracking")
    seen, earlier, later = (
        {"timestamp": f"2024-{month:02}-06T10:00:00Z", "service": f"s{month}", "env": "prod", "version": "1"}
        for month in (5, 1, 9)
    )
    home.drop_export("a.jsonl", [seen])
    home.run()
    home.drop_export("a.jsonl", [seen, earlier])
    home.drop_export("b.jsonl", [seen, later])
    home.run()
    assert home.rows("SELECT CAST(day AS VARCHAR), sightings FROM core.apm_version_activity ORDER BY day") == [
        ("2024-01-06", 1),
        ("2024-05-06", 2),
        ("2024-09-06", 1),
    ]

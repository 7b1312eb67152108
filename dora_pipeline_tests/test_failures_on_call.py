"""`dora failure start`, `end` and `list`, for people on call, against an intake."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.intake_servers import API_KEY, APP_KEY, intake_in_process
from dora_pipeline_tests.sending import Sender, checkout, plain_environment


@pytest.fixture(autouse=True)
def on_call(home: TestHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an intake; one stands in the checkout of something else, on a machine without a home."""
    plain_environment(monkeypatch, tmp_path)
    checkout(Path.cwd())
    with intake_in_process(home.home) as (url, _):
        for name, value in {
            "DORA_INTAKE_ADDRESS": url,
            "DD_API_KEY": API_KEY,
            "DD_APP_KEY": APP_KEY,
        }.items():
            monkeypatch.setenv(name, value)
        yield url


def _listed(dora: Sender) -> list[list[str]]:
    """The rows that `list` shows, by their columns."""
    return [line.split("  ") for line in dora("failure", "list").out.splitlines()[1:]]


def test_a_failure_is_started_listed_and_ended_with_nothing_but_its_service(
    home: TestHome, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.select_events()
    assert dora("failure", "list").err == "no failure is open at the intake\n"
    started = dora("failure", "start", "--service", "shop", "--env", "prod", "--name", "No sales")
    failure_id = started.out.removeprefix("stored: failure ").strip()
    assert (started.code, started.err) == (0, f"`dora failure end {failure_id}` ends it\n")
    assert dora("failure", "end").out.startswith(f"ended: {failure_id} of shop in prod, since ")
    assert dora("failure", "list").out == ""
    assert "no such failure is open at the intake" in dora("failure", "end").err
    assert f"{failure_id} ended at " in dora("failure", "end", failure_id).err

    # Of several open ones none is chosen for the user.
    at = ("--started-at", "2026-03-01T10:00:00.5Z")
    ids = [
        dora("failure", "start", "--service", service, "--env", env, "--started-at", started_at).out.split()[-1]
        for service, env, started_at in (
            ("shop", "prod", at[1]), ("shop", "qa", "2026-03-01T10:01:00Z"), ("cart", "prod", at[1])
        )
    ]  # fmt: skip
    dora(
        "failure",
        "--team",
        "till",
        *at,
        "--skip-git",
        "--name",
        "Nobody can pay at any of the tills of the country " * 4,
    )
    monkeypatch.setenv("COLUMNS", "80")
    shown = dora("failure", "list").out
    assert sorted(line.split()[-1] for line in shown.splitlines() if "team till" not in line) == sorted([*ids, "id"])
    assert "team till" in shown
    refused = dora("failure", "end", "--service", "shop", "--now")
    assert refused.code == 1
    assert "2 failures are open; give the id of one, or --service and --env:" in refused.err
    assert all(one in refused.err for one in ids[:2])
    assert dora("failure", "end", "--service", "shop", "--env", "qa").code == 0
    assert dora("failure", "end", ids[0], "--finished-at", "2026-03-01T10:30:00.5Z").out.endswith(", after 30.0 min\n")
    assert "is before the start" in dora("failure", "end", ids[2], "--finished-at", "2026-03-01T09:00:00Z").err
    (team,) = (line.split()[-1] for line in dora("failure", "list").out.splitlines() if "team till" in line)
    assert dora("failure", "end", team).code == 0
    unknown = dora("failure", "end", "nobody-knows-this-id")
    assert (unknown.code, "HTTP 404" in unknown.err) == (1, True)
    assert "the ids of 0 open failures begin so" in unknown.err
    assert "has 6 letters or more" in dora("failure", "end", ids[2][:5]).err
    assert dora("failure", "end", ids[2][:6]).out.startswith(f"ended: {ids[2]} of cart in prod")

    # The store of the home tells the same, without keys.
    dora("failure", "start", "--service", "till")
    asked = dora("failure", "list").out
    monkeypatch.delenv("DORA_INTAKE_ADDRESS")
    assert "there is no store of an intake" in dora("failure", "list").err
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    assert [line.split()[-1] for line in dora("failure", "list").out.splitlines()] == [
        line.split()[-1] for line in asked.splitlines()
    ]

    home.run()
    columns = "service, team, env, time_to_restore_seconds, commit_sha"
    rows = home.rows(f"SELECT {columns} FROM core.failures WHERE started_at < '2026-04-01' ORDER BY ALL NULLS LAST")
    assert [row[:3] for row in rows] == [
        ("cart", None, "prod"), ("shop", None, "prod"), ("shop", None, "qa"), (None, "till", None)
    ]  # fmt: skip
    assert rows[1][3] == 1800
    assert {row[4] for row in rows} == {None}
    assert home.rows("SELECT COUNT(*), COUNT(finished_at) FROM core.failures") == [(6, 5)]


def test_an_unknown_service_is_questioned_and_sent(
    home: TestHome, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = "no deployment or definition of 'shpo' is known; did you mean 'shop'?"
    # Where nobody knows a service there is nothing to ask.
    assert "warning" not in dora("failure", "start", "--service", "shpo").err
    home.deploy("shop", "2026-03-01 10:00:00")
    asked = dora("failure", "start", "--service", "shpo", "--service", "shop")
    assert (asked.code, asked.err.count("warning: "), question in asked.err) == (0, 1, True)
    assert dora("failure", "start", "--service", "shop").err.count("warning: ") == 0
    # So are those that a pipeline sends; a deployment is not known by itself.
    at = ("--started-at", "2026-03-01T10:00:00Z", "--skip-git")
    for event_type in ("failure", "deployment"):
        sent = dora(event_type, "--service", "shopp", *at)
        assert (sent.code, question.replace("shpo", "shopp") in sent.err) == (0, True)
        assert dora(event_type, "--service", "shop", *at).err == ""
    # The keys of two servers are not mixed.
    with monkeypatch.context() as patch:
        patch.setenv("DATADOG_API_KEY", API_KEY)
        assert "DATADOG_APP_KEY is not set" in dora("failure", "end").err
    monkeypatch.delenv("DD_APP_KEY")
    assert "warning" not in dora("failure", "start", "--service", "shpo").err
    assert "DD_APP_KEY is not set" in dora("failure", "end").err
    home.select_events()
    home.run()
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    assert question in dora("failure", "start", "--service", "shpo").err


def test_an_unknown_environment_is_questioned_and_sent(
    home: TestHome, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.settings(environments={"production": ["prod", "live-*"]})
    # Until a deployment names one there is nothing to ask.
    assert "warning" not in dora("failure", "start", "--service", "shop", "--env", "producton").err
    home.deploy("shop", "2026-03-01 10:00:00", env="production")
    question = "no deployment to the environment 'producton' is known; did you mean 'production'?"
    at = ("--started-at", "2026-03-02T10:00:00Z", "--skip-git")
    for who in (("start", "--service", "shop"), (*at, "--service", "shop"), ("start", "--team", "sales")):
        sent = dora("failure", *who, "--env", "producton")
        assert (sent.code, sent.err.count("warning: "), question in sent.err) == (0, 1, True)
    sent = dora("deployment", *at, "--service", "shop", "--env", "produktion")
    assert (sent.code, question.replace("producton", "produktion") in sent.err) == (0, True)
    assert dora("deployment", *at, "--service", "shop", "--env", "production").err == ""
    # What the home defines is known before its first run.
    with monkeypatch.context() as patch:
        patch.setenv("DORA_HOME", str(home.home.path))
        home.home.services.mkdir(exist_ok=True)
        (home.home.services / "till.yaml").write_text("schema-version: v2.2\ndd-service: till\n", encoding="utf-8")
        assert dora("failure", *at, "--service", "till", "--env", "live-eu").err == ""
    # The warehouse knows the aliases, too.
    home.select_events()
    home.run()
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    assert question in dora("failure", "start", "--service", "shop", "--env", "producton").err
    for env in ("production", "prod", "live-2"):
        assert "warning" not in dora("failure", "start", "--service", "shop", "--env", env).err
    # One of three names of one environment is not the only one that is open; of another one it is.
    ended = dora("failure", "end", "--service", "shop", "--env", "production")
    assert (ended.code, "failures are open; give the id of one" in ended.err) == (1, True)
    dora("failure", "start", "--service", "bank", "--env", "live-eu")
    assert " of bank in live-eu" in dora("failure", "end", "--service", "bank", "--env", "prod").out
    # Settings that are wrong keep nobody from ending what needs none of them.
    home.home.settings_file.write_text("environmets: {}")
    dora("failure", "start", "--service", "bank")
    assert " of bank" in dora("failure", "end", "--service", "bank").out
    assert "environmets" in dora("failure", "end", "--service", "shop", "--env", "production").err


def test_wrong_use_of_start_and_end_is_told_before_anything_is_sent(dora: Sender, home: TestHome) -> None:
    for arguments, said in (
        (("start",), "give --service or --team"),
        (
            ("start", "--service", "a", "--now", "--started-at", "2026-03-01T10:00:00Z"),
            "--now or --started-at, not both",
        ),
        (("start", "--service", "a", "--git-commit-sha", "a" * 40), "give both --git-repository-url and"),
        (("start", "--service", "a", "--started-at", "2100-03-01T10:00:00Z"), "is in the future"),
        (("--service", "a", "start"), "write --service behind start, not before it"),
        (("--service", "a"), "`dora failure start` sends one that starts now"),
    ):
        answer = dora("failure", *arguments)
        assert (answer.code, said in answer.err) == (2, True), answer.err
    body = json.loads(dora("failure", "start", "--service", "a", "--dry-run").out)["data"]["attributes"]
    assert body.keys() == {"id", "services", "started_at"}
    assert dora("failure", "list").err == "no failure is open at the intake\n"

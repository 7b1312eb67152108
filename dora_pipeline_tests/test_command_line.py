"""The `dora` command: what it prints, writes and ends with."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import duckdb
import pytest

from dora_pipeline.catalog import read_catalog
from dora_pipeline.cli.main import dora as command
from dora_pipeline.cli.main import main
from dora_pipeline.config import Home
from dora_pipeline.identifiers import without_credentials
from dora_pipeline.selection import read_selection_log
from dora_pipeline.settings import read_settings
from dora_pipeline.sources.apm.settings import apm_settings
from dora_pipeline.sources.registry import SOURCES, sources_of
from dora_pipeline_tests.command import Answer, call, command_line, environment, process, without_root
from dora_pipeline_tests.homes import TestHome, moment

Dora = Callable[..., Answer]


@pytest.fixture
def dora(home: TestHome, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Dora:
    """Runs `dora` in this process, through the entry point of the command."""
    monkeypatch.setenv("DORA_HOME", str(home.home.path))

    def run_command(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["dora", *arguments])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run_command


def _one_line(answer: Answer) -> str:
    """The only line on stderr."""
    (line,) = answer.err.splitlines()
    return line


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> TestHome:
    """A home that was loaded once, for the tests that only read it."""
    home = TestHome(tmp_path_factory.mktemp("loaded") / "home")
    _load(home)
    return home


def _load(home: TestHome) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00", version="1", custom_tags=["team:a", 'quote:"'])
    home.deploy("shop", "2024-05-07 10:00:00", version="2")
    home.fail(["shop"], "2024-05-07 11:00:00", "2024-05-07 12:30:00")
    home.run()


# init


def test_init_writes_settings_a_log_and_an_example_service(home: TestHome, dora: Dora) -> None:
    answer = dora("init")
    assert answer.code == 0
    for name in ("dora.yaml", "source_selections.csv", "services/example.yaml"):
        assert f"wrote {home.home.path / name}" in answer.out
        assert (home.home.path / name).is_file()
    assert (home.home.path / "exports" / "apm").is_dir()
    assert "\nnext: dora select deployments" in answer.out
    assert home.home.selection_log.read_text() == "event_type,selected_at,sources\n"
    assert read_settings(home.home) == read_settings(Home(home.home.path / "nowhere"))
    assert read_selection_log(home.home).entries == ()
    assert read_catalog(home.home).frame()["service"].to_list() == []
    example = home.home.services / "example.yaml"
    example.write_text("\n".join(re.sub(r"^# ?", "", line) for line in example.read_text().splitlines()[3:]))
    assert read_catalog(home.home).frame()["service"].to_list() == ["example"]


def test_init_makes_the_home_where_there_is_none(tmp_path: Path, dora: Dora, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DORA_HOME", str(tmp_path / "deep" / "er"))
    assert dora("init").code == 0
    assert (tmp_path / "deep" / "er" / "dora.yaml").is_file()


def test_init_never_overwrites(home: TestHome, dora: Dora) -> None:
    home.home.settings_file.write_text("timezone: Europe/Berlin\n")
    home.home.services.mkdir()
    (home.home.services / "example.yaml").write_text("# mine\n")
    answer = dora("init")
    assert answer.code == 0
    assert f"kept  {home.home.settings_file}" in answer.out
    assert f"wrote {home.home.selection_log}" in answer.out
    assert home.home.settings_file.read_text() == "timezone: Europe/Berlin\n"
    assert (home.home.services / "example.yaml").read_text() == "# mine\n"


def test_the_settings_that_init_writes_are_valid_when_every_comment_is_taken_out(home: TestHome, dora: Dora) -> None:
    dora("init")
    lines = home.home.settings_file.read_text().splitlines()[1:]
    home.home.settings_file.write_text("\n".join(re.sub(r"^# ?", "", line) for line in lines))
    settings = read_settings(home.home)
    assert settings.merge_window == timedelta(minutes=10)
    assert settings.environments == {"production": ("prod", "Production", "prod-*")}
    assert apm_settings(settings).quiet_gap == timedelta(hours=1)
    assert list(settings.repositories) == ["github.com/organization/example"]


def test_init_leaves_no_half_of_a_file(home: TestHome) -> None:
    answer = process(home.home.path, "init", before=["prlimit", "--fsize=1000"])
    assert answer.code == 1
    assert f"{home.home.path}: cannot be written: File too large; check the space" in _one_line(answer)
    assert not home.home.settings_file.exists()


def test_an_output_for_which_there_is_no_space_is_told_in_one_line(home: TestHome) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command_line("--version"),
            env=environment(home.home.path) | {"PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    expected = "dora: the output: No space left on device; make space, and do it again\n"
    assert (ended.returncode, ended.stderr) == (1, expected)


def test_init_in_a_folder_that_cannot_be_written_says_so_in_one_line(home: TestHome) -> None:
    home.home.path.chmod(0o500)
    answer = process(home.home.path, "init", before=without_root())
    home.home.path.chmod(0o700)
    assert answer.code == 1
    assert "Permission denied" in _one_line(answer)
    assert "owner and mode" in _one_line(answer)


# select


def test_select_takes_effect_from_now(home: TestHome, dora: Dora) -> None:
    before = datetime.now(UTC)
    answer = dora("select", "deployments", "deployment_event_api", "apm_deployment_tracking")
    assert answer.code == 0
    assert answer.out.startswith("deployments: deployment_event_api, apm_deployment_tracking since ")
    (entry,) = read_selection_log(home.home).entries
    assert entry.sources == ("deployment_event_api", "apm_deployment_tracking")
    assert before <= entry.selected_at <= datetime.now(UTC)


def test_select_from_an_earlier_moment(home: TestHome, dora: Dora) -> None:
    answer = dora("select", "failures", "failure_event_api", "--at", "2024-05-06T07:08:09+02:00")
    assert answer.out == "failures: failure_event_api since 2024-05-06 05:08:09Z\n"
    assert home.home.selection_log.read_text().splitlines()[1] == "failure,2024-05-06T05:08:09Z,failure_event_api"


def test_select_from_a_day_is_from_its_beginning_in_the_configured_zone(home: TestHome, dora: Dora) -> None:
    home.settings(timezone="Asia/Kolkata")
    dora("select", "failures", "failure_event_api", "--at", "2024-05-06")
    assert home.home.selection_log.read_text().splitlines()[1] == "failure,2024-05-05T18:30:00Z,failure_event_api"


def test_the_help_of_select_lists_the_sources_with_how_their_events_come(dora: Dora) -> None:
    shown = " ".join(dora("select", "--help").out.split())
    deployments, _, failures = shown.partition("Sources of deployments:")[2].partition("Sources of failures:")
    for source in SOURCES.values():
        assert f"{source.name} {source.lineage}" in (deployments if source.event_type == "deployment" else failures)


def test_selecting_in_the_future_is_refused(home: TestHome, dora: Dora) -> None:
    answer = dora("select", "failures", "failure_event_api", "--at", "2199-01-01T00:00:00Z")
    assert answer.code == 1
    assert "is in the future" in _one_line(answer)
    assert not home.home.selection_log.exists()


def test_selecting_before_the_newest_entry_is_refused(home: TestHome, dora: Dora) -> None:
    dora("select", "deployments", "deployment_event_api", "--at", "2024-05-06T00:00:00Z")
    answer = dora("select", "deployments", "apm_deployment_tracking", "--at", "2024-05-05T00:00:00Z")
    assert answer.code == 1
    assert "is not later than the newest selection" in _one_line(answer)
    assert read_selection_log(home.home).selected("deployment") == ("deployment_event_api",)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("deployments", "pagerduty"), "apm_deployment_tracking, deployment_event_api"),
        (("failures", "nonsense"), ", ".join(sources_of("failure"))),
        (("failures", "pager_duty"), "did you mean 'pagerduty'?"),
        (("restores", "pagerduty"), "restores"),
        (("deployments",), "SOURCE"),
        (("failures", "pagerduty", "--at", "2024-05-06 07:08:09"), "no time zone"),
        (("failures", "pagerduty", "--at", "yesterday"), "write it as 2024-05-06T07:08:09Z, or a day as 2024-05-06"),
        (("failures", "pagerduty", "--at", "2024-02-30"), "'2024-02-30' is not a day"),
    ],
)
def test_a_wrong_selection_is_wrong_usage(home: TestHome, dora: Dora, arguments: tuple[str, ...], told: str) -> None:
    answer = dora("select", *arguments)
    assert answer.code == 2
    assert told in answer.err
    assert answer.out == ""
    assert not home.home.selection_log.exists()


def test_naming_a_source_twice_is_refused(home: TestHome, dora: Dora) -> None:
    answer = dora("select", "failures", "pagerduty", "pagerduty")
    assert answer.code == 1
    assert "named twice" in _one_line(answer)


# sources


def test_sources_shows_all_of_them_before_anything_was_selected(dora: Dora) -> None:
    answer = dora("sources", "--verbose")
    assert answer.code == 0
    for name in SOURCES:
        assert f"\n{name} (" in "\n" + answer.out
    assert answer.out.count("selected now    no") == len(SOURCES)
    assert dora("sources").out.splitlines()[-1].startswith("no source is selected: `dora select deployments SOURCE…`")


def test_sources_fits_a_terminal_and_has_all_in_its_other_forms(
    home: TestHome, dora: Dora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _load(home)
    home.select("deployment", "deployment_event_api", "apm_deployment_tracking", at=moment("2024-01-01 00:00:00"))
    home.fail([], "2024-05-08 11:00:00", received="2024-05-08 11:00:00")
    home.run()
    shown = dora("sources").out
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert rows["deployments"] == ["selected", "newest", "rows", "rejected", "read"]
    assert rows["deployment_event_api"][:4] == ["2020-01-01", "2024-05-07", "2", "0"]
    assert rows["failure_event_api"][:4] == ["2020-01-01", "2024-05-07", "1", "1"]
    assert rows["failure_event_api"][-1] == "ago"
    assert rows["pagerduty"] == ["no", "–", "0", "0", "–"]
    assert "apm_deployment_tracking: exports/apm/: there is no such folder" in shown
    assert "left out" not in shown
    assert len(shown.splitlines()) < 15
    assert all(len(line) <= 80 for line in shown.splitlines())
    block = dora("sources", "--verbose").out.partition("\nfailure_event_api (failures)\n")[2]
    assert block.splitlines()[:5] == [
        "  selected now    yes",
        "  first selected  2020-01-01 00:00:00Z",
        "  newest event    2024-05-07 11:00:00Z",
        "  rows            1",
        "  rejected        1",
    ]
    states = {state["source"]: state for state in json.loads(dora("sources", "--json").out)}
    assert list(states) == list(SOURCES)
    deployments = states["deployment_event_api"]
    assert (deployments["rows"], deployments["newest_event_at"]) == (2, "2024-05-07T10:00:00+00:00")
    assert (deployments["event_type"], deployments["is_selected"], deployments["error"]) == ("deployment", True, None)


# run


def test_run_without_a_selection_says_how_to_select(home: TestHome, dora: Dora) -> None:
    answer = dora("run")
    assert answer.code == 1
    assert "dora select deployments" in _one_line(answer)
    assert not home.home.warehouse.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from", "2199-05-06"), "--from 2199-05-06 is after today"),
        (("--to", "2024-05-06"), "needs --from"),
        (("--from", "2024-05-07", "--to", "2024-05-06"), "is before"),
        (("--from", "2024-02-30", "--to", "2024-03-01"), "'2024-02-30' is not a day"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_a_wrong_window_is_wrong_usage(home: TestHome, dora: Dora, arguments: tuple[str, ...], told: str) -> None:
    home.select_events()
    answer = dora("run", *arguments)
    assert answer.code == 2
    assert told in answer.err


def test_run_loads_what_changed_and_then_nothing(home: TestHome, dora: Dora) -> None:
    home.select_events()
    home.deploy("shop", "2024-05-06 10:00:00")
    home.deploy("shop", "2024-05-09 10:00:00")
    first = dora("run")
    assert first.code == 0
    assert re.match(r"\d+ days loaded in ", first.out)
    assert "core.deployments: 2 rows" in first.out
    again = dora("run")
    assert again.code == 0
    assert again.out.startswith("no deployment or failure has changed in ")


def test_run_of_a_window_loads_its_days_and_counts_the_others(home: TestHome, dora: Dora) -> None:
    home.select_events()
    for day in ("06", "07", "08", "20"):
        home.deploy("shop", f"2024-05-{day} 10:00:00")
    answer = dora("run", "--from", "2024-05-06", "--to", "2024-05-07")
    assert answer.code == 0
    assert answer.out.startswith("2 days loaded in ")
    assert "core.deployments: 2 rows" in answer.out
    assert (
        "warning: days that have changed and are not loaded (2): 2024-05-20 of core.deployments, 2024-05-08 "
        in answer.err
    )
    assert home.rows("SELECT day::VARCHAR FROM core.deployments ORDER BY day") == [("2024-05-06",), ("2024-05-07",)]
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert re.match("[23] days loaded in ", dora("run", "--from", str(yesterday)).out)


def test_rebuild_gives_the_same_tables(home: TestHome, dora: Dora) -> None:
    _load(home)
    before = home.tables()
    answer = dora("run", "--rebuild")
    assert answer.code == 0
    assert "core.deployments: 2 rows" in answer.out
    assert home.tables() == before


def test_a_selected_source_that_cannot_be_pulled_fails_after_the_others_are_loaded(home: TestHome, dora: Dora) -> None:
    home.select("deployment", "deployment_event_api")
    home.select("failure", "pagerduty")
    home.deploy("shop", "2024-05-06 10:00:00")
    answer = dora("run")
    assert answer.code == 1
    assert "pagerduty" in _one_line(answer)
    assert home.rows("SELECT COUNT(*) FROM core.deployments") == [(1,)]
    assert _one_line(answer).removeprefix("dora: ") in dora("sources").out


def test_every_mistake_of_the_settings_is_listed_without_a_traceback(home: TestHome, dora: Dora) -> None:
    home.select_events()
    home.home.settings_file.write_text("timezone: Mars/Olympus\nmerge_windows: 10m\nrejected_share: 7\n")
    answer = dora("run")
    assert answer.code == 1
    for key in ("timezone", "merge_windows", "rejected_share"):
        assert f"{home.home.settings_file}: {key}: " in answer.err
    assert "Traceback" not in answer.err


# start


def _imported(folder: Path, *arguments: str) -> set[str]:
    """The packages that a process of the command imports."""
    command = [sys.executable, "-X", "importtime", *command_line(*arguments)[1:]]
    ended = subprocess.run(command, env=environment(folder), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    times = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in times}


def test_the_list_of_commands_needs_nothing_of_what_they_need(home: TestHome) -> None:
    heavy = {"dagster", "polars", "dataframely", "duckdb", "sqlalchemy", "fastapi", "pydantic", "requests", "rich"}
    imported = _imported(home.home.path, "--help")
    assert "click" in imported
    assert imported & heavy == set()


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (("sql", "SELECT 1"), "dagster polars dataframely sqlalchemy fastapi requests"),
        (("sources",), "dagster polars dataframely sqlalchemy fastapi requests"),
        (("report",), "dagster polars dataframely sqlalchemy fastapi requests"),
        (("select", "failures", "failure_event_api"), "dagster polars dataframely duckdb sqlalchemy fastapi requests"),
        (("deployment", "--help"), "dagster polars dataframely duckdb sqlalchemy fastapi"),
        (("serve", "--help"), "dagster polars dataframely duckdb requests"),
        (("run",), "dagster fastapi"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_a_command_imports_nothing_that_it_does_not_use(
    loaded: TestHome, tmp_path: Path, arguments: tuple[str, ...], unused: str
) -> None:
    folder = tmp_path / "home"
    shutil.copytree(loaded.home.path, folder)
    imported = _imported(folder, *arguments)
    assert "click" in imported
    assert imported & set(unused.split()) == set()


# errors


def test_help_of_every_command_and_the_version(dora: Dora) -> None:
    answer = dora("--help")
    assert answer.code == 0
    for name in command.list_commands(click.Context(command)):
        assert re.search(rf"^  {name} +[A-Z].+\.$", answer.out, re.MULTILINE)
        assert dora(name, "-h").code == 0
    assert re.search(r"\d+\.\d+\.\d+", dora("--version").out)


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("--nonsense",), ("sql",), ("sql", "SELECT 1", "--format", "xml")]
)
def test_wrong_usage_ends_with_2(dora: Dora, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    answer = dora(*arguments)
    assert answer.code == 2
    assert "Usage:" in answer.err
    assert answer.out == ""


def test_the_shell_completes_commands_and_sources(dora: Dora, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_DORA_COMPLETE", "bash_complete")
    for words, completed in (("dora so", "plain,sources\n"), ("dora select failures p", "plain,pagerduty\n")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert dora().out == completed


def test_a_mistyped_command_is_told_what_may_be_meant(dora: Dora) -> None:
    assert "there is no command 'soures'; did you mean 'sources'?" in dora("soures").err


def test_a_traceback_is_shown_with_debug_only(home: TestHome) -> None:
    plain = call(home.home.path, "run")
    debug = process(home.home.path, "--debug", "run")
    assert (plain.code, debug.code) == (1, 1)
    assert "Traceback" not in plain.err
    assert plain.out == ""
    assert "Traceback" in debug.err
    assert "dora_pipeline.errors.ConfigError" in debug.err


def test_credentials_of_a_repository_are_never_shown(home: TestHome) -> None:
    home.settings(repositories={"127.0.0.1/x": "https://user:hunter2@127.0.0.1:1/x.git"})
    home.select_events()
    url = "https://user:hunter2@127.0.0.1:1/x.git"
    for day, sha in (("06", "a" * 40), ("07", "b" * 40)):
        git = {"repository_url": "https://user:hunter2@127.0.0.1/x.git", "commit_sha": sha}
        home.deploy("shop", f"2024-05-{day} 10:00:00", git=git)
    answer = process(home.home.path, "--debug", "run")
    assert answer.code == 0
    assert "127.0.0.1" in answer.err
    for text in (answer.out, answer.err):
        assert "hunter2" not in text
        assert "user:" not in text
    assert home.rows("SELECT DISTINCT lead_time_reason FROM core.deployments ORDER BY ALL") == [
        ("first_deployment",),
        ("repository_missing",),
    ]
    assert "hunter2" not in str(home.tables())
    assert without_credentials(url) == "https://127.0.0.1:1/x.git"


def test_credentials_in_settings_that_are_wrong_are_never_shown(home: TestHome, dora: Dora) -> None:
    home.select_events()
    home.settings(repositories={"https://user:hunter2@example.com/x.git": "https://user:hunter2@example.com/x.git"})
    answer = dora("run")
    assert answer.code == 1
    assert "example.com" in answer.err
    assert "hunter2" not in answer.out + answer.err


# demo


def test_the_demo_never_replaces_a_folder_with_something_else(tmp_path: Path, dora: Dora) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    answer = dora("demo", "--folder", str(folder))
    assert answer.code == 1
    assert "--folder" in _one_line(answer)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _seconds(cell: str) -> tuple[float, float] | None:
    """A duration as the table shows it, and the half of its last digit, both in seconds."""
    if cell == "–":
        return None
    number, unit = cell.split()
    return float(number) * _UNITS[unit], (0.5 if unit == "s" else 0.05) * _UNITS[unit]


def test_the_demo_replaces_a_former_demo_and_prints_what_its_warehouse_holds(
    tmp_path: Path, dora: Dora, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "demo"
    with monkeypatch.context() as without_git:
        without_git.setenv("PATH", "")
        failed = dora("demo", "--folder", str(folder))
    assert failed.code == 1
    assert "install git" in _one_line(failed)
    (folder / "left over").write_text("of the demo that failed")

    answer = dora("demo", "--folder", str(folder))
    assert answer.code == 0, answer.err
    assert not (folder / "left over").exists()
    assert "Failures are inferred" in answer.out
    suggested = next(line for line in answer.out.splitlines() if "Query it:" in line).partition("Query it:")[2]
    assert f"DORA_HOME={folder} " in suggested
    query = subprocess.run(["bash", "-c", suggested], capture_output=True, text=True, check=False)
    assert query.returncode == 0, query.stderr
    assert "metaphysics" in query.stdout
    printed = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in answer.out.splitlines()
        if re.match(r"│ \d{4} Q\d", line)
    ]
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        expected = connection.execute(
            """
            SELECT YEAR(period) || ' Q' || QUARTER(period), deployments, lead_time_p50_seconds, failures,
                change_failure_rate, time_to_restore_p50_seconds, failed_changes, failed_change_rate,
                recovery_p50_seconds, rework_rate
            FROM metrics.summary_by('env', 'quarter', '2018-01-01', '2030-12-31')
            WHERE env = 'production' AND period BETWEEN
                (SELECT DATE_TRUNC('quarter', MIN(day)) FROM metrics.daily) AND (SELECT MAX(day) FROM metrics.daily)
            ORDER BY period
            """
        ).fetchall()
        shares = connection.execute(
            "SELECT env, COUNT(DISTINCT failure_id) FROM core.failures WHERE is_selected GROUP BY env ORDER BY env"
        ).fetchall()
    assert len(printed) == 2 * len(expected) > 40
    for place, (quarter, deployments, lead_time, failures, rate, restore, *since_2024) in enumerate(expected):
        four, others = printed[place], printed[len(expected) + place]
        failed_changes, failed_rate, recovery, rework = since_2024
        assert four[:2] == others[:2] == [quarter, f"{deployments:,}"]
        assert four[3:5] == [f"{failures:,}", f"{rate * 100:.1f} %"]
        assert [others[2], others[3], others[5]] == [
            f"{failed_changes:,}",
            f"{failed_rate * 100:.1f} %",
            f"{rework * 100:.1f} %",
        ]
        for cell, seconds in ((four[2], lead_time), (four[5], restore), (others[4], recovery)):
            told = _seconds(cell)
            if told is None or seconds is None:
                assert told is seconds
            else:
                assert told[0] == pytest.approx(seconds, abs=told[1] * 1.001)
    for env, failures in shares:
        assert f"Of {env}: {failures:,} failures" in answer.out
    assert "One of them: metaphysics in production failed at 2025-10-09 15:28:54Z" in answer.out
    assert "1c697fa went live again at 2025-10-09 17:00:01Z, 1.5 h later." in answer.out
    explain = next(line for line in answer.out.splitlines() if "Trace a figure:" in line).partition("figure:")[2]
    explained = subprocess.run(["bash", "-c", explain], capture_output=True, text=True, check=False)
    assert explained.returncode == 0, explained.stderr
    assert "failed_changes" in explained.stdout
    assert sum(row[3] for row in expected) > 0

"""`dora deployment` and `dora failure`: what they send, and what they refuse to send."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dora_pipeline_tests.sending import KEY, FakeIntake, Sender, checkout, git, plain_environment

START = "2026-03-01T10:00:00Z"
STARTED = 1_772_359_200_000_000_000
SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain_environment(monkeypatch, tmp_path)


# what is sent


def test_a_deployment_carries_every_option_and_the_key_is_a_header(intake: FakeIntake, dora: Sender) -> None:
    answer = dora(
        *("deployment", "--service", " shop ", "--env", "prod", "--version", "1.2", "--team", "till"),
        *("--started-at", START, "--finished-at", "2026-03-01T11:00:01.000002Z", "--id", "deployment-000001"),
        *("--git-repository-url", "https://git.example/org/shop", "--git-commit-sha", SHA),
        *("--custom-tags", "region:eu", "--custom-tags", "note:a:b"),
    )  # fmt: skip
    assert answer.code == 0
    assert intake.sent == [
        {
            "service": "shop",
            "env": "prod",
            "version": "1.2",
            "team": "till",
            "started_at": STARTED,
            "finished_at": STARTED + 3_601_000_002_000,
            "id": "deployment-000001",
            "git": {"repository_url": "https://git.example/org/shop", "commit_sha": SHA},
            "custom_tags": ["region:eu", "note:a:b"],
        }
    ]
    (asked,) = intake.vendor.asked
    assert asked.path == "/api/v2/dora/deployment"
    assert asked.headers["dd-api-key"] == KEY
    assert "dd-application-key" not in asked.headers
    assert answer.out == "stored: deployment deployment-000001, commit 66adc9350f2c of git.example/org/shop\n"
    assert answer.err == ""


def test_service_and_env_come_from_the_environment(
    intake: FakeIntake, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DD_SERVICE", "shop two")
    monkeypatch.setenv("DD_ENV", "prod")
    assert dora("deployment", "--started-at", START, "--skip-git").code == 0
    assert dora("failure", "--started-at", START, "--skip-git").code == 0
    deployed, failed = intake.sent
    assert (deployed["service"], deployed["env"]) == ("shop two", "prod")
    assert (failed["services"], failed["env"]) == (["shop two"], "prod")


def test_a_deployment_ends_now_unless_told(intake: FakeIntake, dora: Sender) -> None:
    before = datetime.now(UTC)
    assert dora("deployment", "--service", "shop", "--started-at", START, "--skip-git").code == 0
    finished = datetime.fromtimestamp(intake.sent[0]["finished_at"] / 1e9, UTC)
    assert before - timedelta(milliseconds=1) <= finished <= datetime.now(UTC)


def test_each_deployment_has_an_id_of_its_own(intake: FakeIntake, dora: Sender) -> None:
    for _ in range(2):
        dora("deployment", "--service", "shop", "--started-at", START, "--skip-git")
    first, second = (sent["id"] for sent in intake.sent)
    assert len(first) == len(second) == 32
    assert first != second


def test_a_failure_carries_every_option_and_is_open_without_an_end(intake: FakeIntake, dora: Sender) -> None:
    answer = dora(
        *("failure", "--service", "shop", "--service", "till", "--env", "prod", "--started-at", START),
        *("--name", "No sales", "--severity", "SEV-1", "--version", "1.2", "--team", "shops"),
        *("--git-repository-url", "git@git.example:Org/Shop.git", "--git-commit-sha", SHA, "--custom-tags", "a:b"),
        *("--id", "failure-00000001"),
    )  # fmt: skip
    assert answer.code == 0
    assert intake.vendor.asked[0].path == "/api/v2/dora/failure"
    assert intake.sent == [
        {
            "services": ["shop", "till"],
            "env": "prod",
            "started_at": STARTED,
            "name": "No sales",
            "severity": "SEV-1",
            "version": "1.2",
            "team": "shops",
            "git": {"repository_url": "git@git.example:Org/Shop.git", "commit_sha": SHA},
            "custom_tags": ["a:b"],
            "id": "failure-00000001",
        }
    ]


def test_a_failure_has_no_id_unless_told_so_that_its_end_finds_it(intake: FakeIntake, dora: Sender) -> None:
    told = ("failure", "--service", "shop", "--started-at", START, "--skip-git")
    assert dora(*told).code == 0
    assert dora(*told, "--finished-at", "2026-03-01T12:00:00+01:00").code == 0
    assert intake.sent == [
        {"services": ["shop"], "started_at": STARTED},
        {"services": ["shop"], "started_at": STARTED, "finished_at": STARTED + 3600 * 10**9},
    ]


def test_a_failure_of_a_team_alone_needs_no_service(
    intake: FakeIntake, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DD_SERVICE", "shop")
    assert dora("failure", "--team", "shops", "--started-at", START, "--id", "failure-of-a-team").code == 0
    assert intake.sent == [{"team": "shops", "started_at": STARTED, "id": "failure-of-a-team"}]


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("2026-03-01T12:00+02:00", STARTED),
        ("2026-03-01T10:00:00.123456789Z", STARTED + 123_456_000),
        ("2026-03-01T10:00:00.5Z", STARTED + 500_000_000),
        ("1772359200", STARTED),
        ("1772359200001", STARTED + 1_000_000),
        ("1772359200000001", STARTED + 1_000),
        ("1772359200000001234", STARTED + 1_000),
    ],
)
def test_times_are_rfc_3339_or_unix_times_of_any_unit(
    written: str, nanoseconds: int, intake: FakeIntake, dora: Sender
) -> None:
    assert dora("deployment", "--service", "shop", "--started-at", written, "--skip-git").code == 0
    assert intake.sent[0]["started_at"] == nanoseconds


def test_a_dry_run_prints_the_body_and_sends_nothing(
    intake: FakeIntake, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DD_API_KEY")
    answer = dora("failure", "--service", "shöp", "--started-at", START, "--skip-git", "--dry-run")
    assert answer.code == 0
    assert json.loads(answer.out) == {"data": {"attributes": {"services": ["shöp"], "started_at": STARTED}}}
    assert intake.sent == []


def test_the_other_name_of_the_key_goes_first_as_with_datadog_ci(
    intake: FakeIntake, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATADOG_API_KEY", "other")
    dora("deployment", "--service", "shop", "--started-at", START, "--skip-git")
    assert intake.vendor.asked[0].headers["dd-api-key"] == "other"


# git


def test_the_commit_is_that_of_the_checkout_from_any_folder_of_it(
    intake: FakeIntake, dora: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = checkout(tmp_path / "work", "https://user:secret-token@git.example/Org/Shop.git")
    (tmp_path / "work" / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep" / "er")
    answer = dora("deployment", "--service", "shop", "--started-at", START)
    assert intake.sent[0]["git"] == {"repository_url": "https://git.example/Org/Shop.git", "commit_sha": sha}
    assert answer.out.endswith(f", commit {sha[:12]} of git.example/org/shop\n")


def test_tokens_that_git_s_settings_put_into_addresses_are_taken_out(
    intake: FakeIntake, dora: Sender, tmp_path: Path
) -> None:
    checkout(tmp_path / "work", "https://git.example/org/shop")
    git(tmp_path, "config", "--global", "url.https://bot:token@git.example/.insteadOf", "https://git.example/")
    assert dora("deployment", "--service", "shop", "--started-at", START).code == 0
    assert intake.sent[0]["git"]["repository_url"] == "https://git.example/org/shop"


def test_the_remote_of_the_branch_goes_before_origin(intake: FakeIntake, dora: Sender, tmp_path: Path) -> None:
    checkout(tmp_path / "work")
    git(tmp_path / "work", "remote", "add", "fork", "git@git.example:fork/shop.git")
    git(tmp_path / "work", "config", "branch.main.remote", "fork")
    assert dora("failure", "--service", "shop", "--started-at", START).code == 0
    assert intake.sent[0]["git"]["repository_url"] == "git@git.example:fork/shop.git"


def test_skip_git_leaves_the_commit_out(intake: FakeIntake, dora: Sender, tmp_path: Path) -> None:
    checkout(tmp_path / "work")
    assert dora("deployment", "--service", "shop", "--started-at", START, "--skip-git").code == 0
    assert "git" not in intake.sent[0]


def test_a_deployment_outside_of_a_checkout_is_not_sent(intake: FakeIntake, dora: Sender) -> None:
    answer = dora("deployment", "--service", "shop", "--started-at", START)
    assert answer.code == 1
    assert "is in no git repository" in answer.err
    assert "--skip-git" in answer.err
    assert len(answer.err.splitlines()) == 1
    assert intake.sent == []


def test_a_failure_outside_of_a_checkout_is_sent_without_a_commit_and_says_so(intake: FakeIntake, dora: Sender) -> None:
    answer = dora("failure", "--service", "shop", "--started-at", START)
    assert answer.code == 0
    assert answer.err.startswith("without a commit: ")
    assert "git" not in intake.sent[0]


@pytest.mark.parametrize("command", ["deployment", "failure"])
def test_a_checkout_without_a_remote_or_a_commit_is_an_error(
    command: str, intake: FakeIntake, dora: Sender, tmp_path: Path
) -> None:
    checkout(tmp_path / "work", remote=None)
    answer = dora(command, "--service", "shop", "--started-at", START)
    assert (answer.code, "has no remote with an address" in answer.err) == (1, True)
    git(tmp_path / "work", "remote", "add", "origin", "https://git.example/org/shop")
    git(tmp_path / "work", "checkout", "--quiet", "--orphan", "empty")
    answer = dora(command, "--service", "shop", "--started-at", START)
    assert (answer.code, "--skip-git" in answer.err) == (1, True)
    assert intake.sent == []


def test_a_told_address_of_the_same_repository_takes_the_commit_of_the_checkout(
    intake: FakeIntake, dora: Sender, tmp_path: Path
) -> None:
    sha = checkout(tmp_path / "work", "git@git.example:Org/Shop.git")
    told = ("--git-repository-url", "https://bot:token@git.example/org/shop")
    assert dora("deployment", "--service", "shop", "--started-at", START, *told).code == 0
    assert intake.sent[0]["git"] == {"repository_url": "https://git.example/org/shop", "commit_sha": sha}


def test_a_told_address_of_another_repository_needs_its_commit(
    intake: FakeIntake, dora: Sender, tmp_path: Path
) -> None:
    checkout(tmp_path / "work")
    told = ("--git-repository-url", "https://bot:token@git.example/org/till")
    answer = dora("deployment", "--service", "shop", "--started-at", START, *told)
    assert answer.code == 1
    assert "give --git-commit-sha too" in answer.err
    assert "token" not in answer.err
    assert intake.sent == []


def test_a_told_commit_of_the_checkout_takes_its_address(intake: FakeIntake, dora: Sender, tmp_path: Path) -> None:
    first = checkout(tmp_path / "work")
    checkout(tmp_path / "work", remote=None)
    assert dora("deployment", "--service", "shop", "--started-at", START, "--git-commit-sha", first).code == 0
    assert intake.sent[0]["git"] == {"repository_url": "https://git.example/Org/Shop.git", "commit_sha": first}


def test_a_told_commit_that_the_checkout_does_not_have_needs_its_address(
    intake: FakeIntake, dora: Sender, tmp_path: Path
) -> None:
    checkout(tmp_path / "work")
    answer = dora("deployment", "--service", "shop", "--started-at", START, "--git-commit-sha", SHA)
    assert answer.code == 1
    assert "give --git-repository-url too" in answer.err
    assert intake.sent == []


@pytest.mark.parametrize("told", [("--git-commit-sha", SHA), ("--git-repository-url", "https://git.example/org/shop")])
def test_half_of_git_outside_of_a_checkout_is_an_error(told: tuple[str, str], intake: FakeIntake, dora: Sender) -> None:
    answer = dora("deployment", "--service", "shop", "--started-at", START, *told)
    assert (answer.code, "is in no git repository" in answer.err) == (1, True)
    assert intake.sent == []


def test_without_the_program_git_the_error_says_so(
    intake: FakeIntake, dora: Sender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = dora("deployment", "--service", "shop", "--started-at", START)
    assert (answer.code, "git cannot be started" in answer.err) == (1, True)


# wrong use


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no service": (("deployment", "--started-at", START), "Missing option '--service'"),
    "blank service": (
        ("deployment", "--service", " ", "--started-at", START),
        "'--service' (env var: 'DD_SERVICE'): it is blank",
    ),
    "blank version": (("deployment", "--service", "a", "--version", "", "--started-at", START), "'--version': it is"),
    "no start": (("deployment", "--service", "a"), "Missing option '--started-at'"),
    "naive": (("deployment", "--service", "a", "--started-at", "2026-03-01T10:00:00"), "has no time zone"),
    "a date": (("deployment", "--service", "a", "--started-at", "2026-03-01"), "has no time zone"),
    "no time": (("deployment", "--service", "a", "--started-at", "yesterday"), "is not a time"),
    "out of range": (("deployment", "--service", "a", "--started-at", "1"), "not between the years 2000 and 2200"),
    "reversed": (
        ("deployment", "--service", "a", "--started-at", START, "--finished-at", "2026-03-01T09:59:59Z"),
        "--finished-at 2026-03-01T09:59:59+00:00 is before the start, 2026-03-01T10:00:00+00:00",
    ),
    "future start": (("failure", "--service", "a", "--started-at", "2100-01-01T00:00:00Z"), "is in the future"),
    "future finish": (
        ("failure", "--service", "a", "--started-at", START, "--finished-at", "2100-01-01T00:00:00Z"),
        "--finished-at 2100-01-01T00:00:00+00:00 is in the future",
    ),
    "neither service nor team": (("failure", "--started-at", START), "give --service or --team"),
    "short commit": (
        ("deployment", "--service", "a", "--started-at", START, "--git-commit-sha", "66adc93"),
        "'--git-commit-sha': it is not a whole commit SHA",
    ),
    "skipped and told": (
        ("deployment", "--service", "a", "--started-at", START, "--skip-git", "--git-commit-sha", SHA),
        "give --skip-git, or",
    ),
    "tag": (("deployment", "--service", "a", "--started-at", START, "--custom-tags", "eu"), "'--custom-tags': it is"),
    "tags": (
        ("failure", "--service", "a", "--started-at", START, "--skip-git", *["--custom-tags", "a:b"] * 101),
        "at most 100 of --custom-tags, not 101",
    ),
    "short id": (("failure", "--service", "a", "--started-at", START, "--id", "short"), "'--id': it is not 16 to 128"),
    "id with a space": (
        ("failure", "--service", "a", "--started-at", START, "--id", "sixteen letters and"),
        "'--id': it is not 16 to 128",
    ),
    "address": (
        ("deployment", "--service", "a", "--started-at", START, "--url", "dora.example"),
        "'--url' (env var: 'DORA_INTAKE_ADDRESS'): it is not https://host:port",
    ),
    "address with a password": (
        ("deployment", "--service", "a", "--started-at", START, "--url", f"https://bot:{KEY}@dora.example"),
        "without user and password",
    ),
    "authority": (
        ("deployment", "--service", "a", "--started-at", START, "--ca-cert", "nowhere.pem"),
        "'nowhere.pem' does not exist",
    ),
    "timeout": (("deployment", "--service", "a", "--started-at", START, "--timeout", "0"), "'--timeout': 0"),
    "spool": (
        ("deployment", "--service", "a", "--started-at", START, "--skip-git", "--spool", "nowhere/spool.jsonl"),
        "there is no folder nowhere",
    ),
    "surrogates": (("deployment", "--service", "\udcff", "--started-at", START), "it is not UTF-8 text"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_ends_with_2_and_a_sentence_and_sends_nothing(case: str, intake: FakeIntake, dora: Sender) -> None:
    arguments, sentence = WRONG[case]
    answer = dora(*arguments)
    assert answer.code == 2
    assert sentence in " ".join(answer.err.split())
    assert KEY not in answer.err
    assert intake.sent == []


@pytest.mark.parametrize("command", ["deployment", "failure", "resend"])
def test_without_an_address_the_sentence_names_both_ways_to_give_it(command: str, dora: Sender) -> None:
    told = ("spool.jsonl",) if command == "resend" else ("--service", "a", "--started-at", START, "--skip-git")
    answer = dora(command, *told)
    assert (answer.code, "give --url, or set DORA_INTAKE_ADDRESS" in answer.err) == (2, True)


def test_without_a_key_nothing_is_sent(intake: FakeIntake, dora: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DD_API_KEY")
    answer = dora("deployment", "--service", "a", "--started-at", START, "--skip-git")
    assert answer.code == 1
    assert answer.err.startswith("dora: intake: the environment variable DATADOG_API_KEY is not set")
    assert intake.sent == []


def test_an_address_that_names_no_repository_is_an_error(intake: FakeIntake, dora: Sender) -> None:
    told = ("--git-repository-url", "shop", "--git-commit-sha", SHA)
    answer = dora("deployment", "--service", "a", "--started-at", START, *told)
    assert (answer.code, "shop names no repository" in answer.err) == (1, True)

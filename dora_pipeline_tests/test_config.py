"""Settings: what is accepted, and how mistakes are told."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from dora_pipeline.config import Home, Settings, Shapes, default_home, shaping
from dora_pipeline.errors import ConfigError
from dora_pipeline.settings import HomeSettings, read_settings
from dora_pipeline.sources.apm.settings import apm_settings, export_folder, link_targets
from dora_pipeline.sources.event_api import FAILURE_EVENT_API
from dora_pipeline.sources.pagerduty import PAGERDUTY


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def settings_of(home: Home, text: str) -> Settings:
    home.settings_file.write_text(text, encoding="utf-8")
    return read_settings(home)


def mistakes_of(home: Home, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_of(home, text)
    return str(caught.value)


def test_settings_that_stand_in_a_file_of_the_other_ending_are_not_taken_for_none(home: Home) -> None:
    (home.path / "dora.yml").write_text("timezone: Europe/Berlin\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"dora\.yml: settings are read from dora\.yaml; rename it"):
        read_settings(home)


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "\ufeff"])
def test_an_empty_file_is_all_defaults(home: Home, text: str) -> None:
    assert settings_of(home, text) == HomeSettings()


def test_a_link_to_what_is_not_there_is_no_missing_file(home: Home) -> None:
    home.settings_file.symlink_to("not-mounted")
    with pytest.raises(ConfigError, match=r"dora\.yaml: cannot be read: No such file or directory"):
        read_settings(home)


def test_a_missing_file_is_all_defaults(home: Home) -> None:
    settings = read_settings(home)
    assert settings.timezone == "UTC"
    assert settings.merge_window == timedelta(minutes=10)
    assert settings.shrink_share == 0.5
    assert settings.missing_commits_share == 0.2
    assert settings.sources_stale_after == timedelta(days=7)
    assert apm_settings(settings).quiet_gap == timedelta(hours=1)
    assert PAGERDUTY.section(settings).api_url == "https://api.pagerduty.com"
    assert export_folder(home, settings) == home.path / "exports" / "apm"
    assert link_targets(home, settings) == []


def test_folders_that_links_may_lead_to_start_at_the_home(home: Home) -> None:
    text = "sources: {apm_deployment_tracking: {follow_links_to: [/exports, shared]}}"
    assert link_targets(home, settings_of(home, text)) == [Path("/exports"), home.path / "shared"]
    for wrong in ("/exports", "[7]", "['']"):
        mistake = mistakes_of(home, f"sources: {{apm_deployment_tracking: {{follow_links_to: {wrong}}}}}")
        assert f"{home.settings_file}: sources.apm_deployment_tracking.follow_links_to" in mistake


def test_owners_are_teams_and_addresses(home: Home) -> None:
    assert settings_of(home, "owners: ['team:platform', 'ada.l@mail.example.com']").owners == (
        "team:platform",
        "ada.l@mail.example.com",
    )
    assert (
        mistakes_of(home, "owners: [platform, 'team:', 'team:a', 'a@b']") == f"{home.settings_file}: owners: "
        "'platform', 'team:', 'a@b' is neither an e-mail address nor a team, as in team:platform"
    )


def test_a_pipe_in_the_place_of_settings_is_no_file(home: Home) -> None:
    os.mkfifo(home.settings_file)
    with pytest.raises(ConfigError, match="cannot be read: it is no regular file"):
        read_settings(home)


def test_the_whole_file_of_the_interface_is_read(home: Home) -> None:
    settings = settings_of(
        home,
        """
timezone: Europe/Berlin
environments: {production: [prod, Production, "prod-*"]}
merge_window: 20m
sources:
  apm_deployment_tracking: {path: /exports, quiet_gap: 2h, pull_from_datadog: true}
  deployment_event_api:    {pull_from_datadog: false}
  failure_event_api:       {pull_from_datadog: true}
  datadog_incidents:       {}
  pagerduty:               {api_url: http://localhost:1, service_ids: [P1, P2], team_ids: [T1]}
datadog: {site: datadoghq.eu, api_url: null}
repositories: {github.com/organization/example: "https://user:token@github.com/organization/example"}
""",
    )
    assert settings.zone.key == "Europe/Berlin"
    assert settings.environments == {"production": ("prod", "Production", "prod-*")}
    assert settings.merge_window == timedelta(minutes=20)
    assert apm_settings(settings).quiet_gap == timedelta(hours=2)
    assert apm_settings(settings).pull_from_datadog
    assert export_folder(home, settings) == Path("/exports")
    assert FAILURE_EVENT_API.section(settings).pull_from_datadog
    assert PAGERDUTY.section(settings).service_ids == ("P1", "P2")
    assert PAGERDUTY.section(settings).team_ids == ("T1",)
    assert settings.datadog.site == "datadoghq.eu"
    assert settings.datadog.api_url is None
    assert settings.repositories == {
        "github.com/organization/example": "https://user:token@github.com/organization/example"
    }


def test_sections_with_all_lines_commented_out_are_defaults(home: Home) -> None:
    text = "environments:\n  # production: [prod]\nsources:\n  pagerduty:\ndatadog:\nrepositories:\n"
    assert settings_of(home, text) == HomeSettings()


def test_all_mistakes_are_in_one_error_with_file_and_key(home: Home) -> None:
    message = mistakes_of(
        home,
        """
timezone: Berlin
colour: red
merge_window: 10
rejected_share: 2
sources: {pagerduty: {service_ids: P1, secret: x}, apm_deployment_tracking: {quiet_gap: 0s, pull_from_datadog: "no"}}
environments: {production: [prod], other: ""}
repositories: {"https://user:hunter2@github.com/Org/App.git": /x, "user:hunter2@github.com": /y}
""",
    )
    file = str(home.settings_file)
    assert message.splitlines()[0] == "10 mistakes:"
    assert all(line.startswith(f"{file}: ") for line in message.splitlines()[1:])
    for expected in [
        "timezone: 'Berlin' is not an IANA time zone",
        "colour: unknown key",
        "merge_window: 10 is not a duration",
        "rejected_share: ",
        "sources.pagerduty.service_ids: must be a list",
        "sources.pagerduty.secret: unknown key",
        "sources.apm_deployment_tracking.quiet_gap: must be longer than 0s",
        "sources.apm_deployment_tracking.pull_from_datadog: must be true or false",
        "environments.other: must be a list",
        "repositories: write 'github.com/org/app'",
    ]:
        assert f"{file}: {expected}" in message
    assert "...'github.com' is not a repository" in message
    assert "hunter2" not in message


def test_rules_of_change_failures_are_checked_as_re2_has_them(home: Home) -> None:
    rule = "{name: x, field: custom_tag, matches: '^urgent:', fails: itself}"
    (found,) = settings_of(home, f"change_failure_rules: [{rule}]").change_failure_rules
    assert (found.name, found.field, found.matches, found.fails) == ("x", "custom_tag", "^urgent:", "itself")
    # RE2 looks at nothing but the text itself, so that it takes linear time: it has no look-ahead.
    wrong = "{name: y, field: title, matches: '(?=x)', fails: itself}"
    lines = mistakes_of(home, f"change_failure_rules: [{rule}, {wrong}]").splitlines()
    assert lines[0] == "2 mistakes:"
    assert lines[1].startswith(f"{home.settings_file}: change_failure_rules.1.field: ")
    assert lines[2].startswith(f"{home.settings_file}: change_failure_rules.1.matches: '(?=x)' is not a regular ")


def test_one_mistake_is_told_without_a_count(home: Home) -> None:
    assert mistakes_of(home, "colour: red") == f"{home.settings_file}: colour: unknown key"


def test_the_zone_of_the_machine_is_no_zone_of_a_home(home: Home) -> None:
    assert "'localtime' is not an IANA time zone" in mistakes_of(home, "timezone: localtime")


def test_what_cannot_be_meant_is_named_with_what_to_write(home: Home) -> None:
    text = """
timezon: UTC
datadog: {site: nowhere, api_ur: "https://x.example"}
sources: {pagerdut: {}, pagerduty: {api_url: pagerduty.com, team_id: []}}
environments: {staging: ["*-eu"], production: ["prod-*", "x-?"], canary: ["prod-canary-*", "x-1*", "prod-[ab]", "*"]}
repositories: {organization/example: /srv/example, group/app: "git@git.example:group/app", gitlab/a/b: /x}
change_failure_rules: [{name: x, field: version, match: x, fails: itself}]
"""
    assert mistakes_of(home, text).splitlines()[1:] == [
        f"{home.settings_file}: {line}"
        for line in (
            "environments: 'prod-canary-*' of 'canary' never matches, for 'prod-*' of 'production' above it matches "
            "all of it; write 'canary' above 'production'; 'prod-[ab]' of 'canary' never matches, for 'prod-*' of "
            "'production' above it matches all of it; write 'canary' above 'production'",
            "change_failure_rules.0.matches: is missing",
            "change_failure_rules.0.match: unknown key; did you mean 'matches'?",
            "sources.pagerduty.api_url: is not an address; write it with its scheme, as https://pagerduty.com, without "
            "user, password and query",
            "sources.pagerduty.team_id: unknown key; did you mean 'team_ids'?",
            "sources.pagerdut: unknown key; did you mean 'pagerduty'?",
            "datadog.site: 'nowhere' is not a site; write a domain such as datadoghq.com or datadoghq.eu",
            "datadog.api_ur: unknown key; did you mean 'api_url'?",
            "repositories: 'organization/example' names no host; write host/path, such as "
            "'github.com/organization/example'; 'group/app' names no host; write host/path, such as "
            "'git.example/group/app'",
            "timezon: unknown key; did you mean 'timezone'?",
        )
    ]
    assert "write 'datadoghq.eu'" in mistakes_of(home, "datadog: {site: app.datadoghq.eu}")
    assert "hunter2" not in mistakes_of(home, "datadog: {api_url: 'https://me:hunter2@proxy.example'}")


def test_the_window_and_the_slack_of_links_have_bounds(home: Home) -> None:
    settings = settings_of(home, "link_window: 3650d\nlink_slack: 12h")
    assert (settings.link_window, settings.link_slack) == (timedelta(days=3650), timedelta(hours=12))
    lines = mistakes_of(home, "link_window: 3651d\nlink_slack: 13h").splitlines()
    assert lines[1:] == [
        f"{home.settings_file}: link_window: must not be longer than 3650d",
        f"{home.settings_file}: link_slack: must not be longer than 12h",
    ]


@pytest.mark.parametrize(
    ("text", "length"),
    [("90s", timedelta(seconds=90)), ("10 m", timedelta(minutes=10)), ("7d", timedelta(days=7)), ("0s", timedelta())],
)
def test_a_duration_has_a_number_and_a_unit(home: Home, text: str, length: timedelta) -> None:
    assert settings_of(home, f"reread: {text}").reread == length


@pytest.mark.parametrize(
    "text", ["10", "1.5h", "-1h", "1w", "h", "''", "null", "[1h]", "9" * 20 + "d", "9" * 5000 + "d"]
)
def test_what_is_not_a_duration_is_a_mistake(home: Home, text: str) -> None:
    assert mistakes_of(home, f"merge_window: {text}").startswith(f"{home.settings_file}: merge_window: ")


@pytest.mark.parametrize("key", ["rejected_share", "missing_commits_share", "shrink_share"])
def test_a_share_is_a_number_from_0_to_1(home: Home, key: str) -> None:
    assert [getattr(settings_of(home, f"{key}: {text}"), key) for text in ("0", "0.25", "1")] == [0, 0.25, 1]
    for text in ("-0.1", "1.1", "50%", "null", ".nan"):
        assert mistakes_of(home, f"{key}: {text}").startswith(f"{home.settings_file}: {key}: ")


def test_sources_cannot_be_stale_at_once(home: Home) -> None:
    assert settings_of(home, "sources_stale_after: 36h").sources_stale_after == timedelta(hours=36)
    assert "must be longer than 0s" in mistakes_of(home, "sources_stale_after: 0s")


@pytest.mark.parametrize("text", ["Mars/Olympus", "utc+1", "''", "3", "../../etc/passwd"])
def test_a_time_zone_is_an_iana_name(home: Home, text: str) -> None:
    assert mistakes_of(home, f"timezone: {text}").startswith(f"{home.settings_file}: timezone: ")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("production", "production"),
        (" prod ", "production"),
        ("prod-eu", "production"),
        ("prod-canary", "canary"),
        ("prod-7", "production"),
        ("PROD", "PROD"),
        ("qa", "qa"),
        ("", None),
        ("  ", None),
        (None, None),
    ],
)
def test_exact_aliases_win_over_globs_and_unknown_names_stay(
    home: Home, name: str | None, canonical: str | None
) -> None:
    settings = settings_of(home, "environments: {production: [prod, 'prod-*'], canary: [prod-canary, '*-7']}")
    assert settings.environment(name) == canonical


def test_an_alias_has_one_owner(home: Home) -> None:
    message = mistakes_of(home, "environments: {production: [prod, live], staging: [prod, production]}")
    assert "environments: 'prod' belongs to both 'production' and 'staging'; 'production' belongs to both" in message


@pytest.mark.parametrize("key", ["https://github.com/org/app", "github.com/Org/app", "github.com/org/app.git"])
def test_repositories_are_keyed_by_their_id(home: Home, key: str) -> None:
    message = mistakes_of(home, f"repositories: {{'{key}': /srv/app}}")
    assert message.startswith(f"{home.settings_file}: repositories: write 'github.com/org/app'")


def test_a_key_that_stands_twice_is_told_with_its_line(home: Home) -> None:
    message = mistakes_of(home, "timezone: UTC\nmerge_window: 1m\ntimezone: Europe/Berlin\n")
    assert message == f"{home.settings_file}, line 3: not valid YAML: the key 'timezone' stands twice"


def test_a_nested_key_that_stands_twice_is_a_mistake(home: Home) -> None:
    assert "the key 'site' stands twice" in mistakes_of(home, "datadog: {site: a, site: b}")


def test_anchors_and_merges_are_read(home: Home) -> None:
    settings = settings_of(
        home,
        "sources:\n  deployment_event_api: &api {pull_from_datadog: true}\n  failure_event_api: {<<: *api}\n",
    )
    assert FAILURE_EVENT_API.section(settings).pull_from_datadog


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timezone: [", "line 1: not valid YAML"),
        ("a: 1\n\tb: 2", "line 2: not valid YAML"),
        ("a: 2024-02-31", "not valid YAML: day is out of range"),
        ("a: " + "[" * 5000, "not valid YAML"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
        ("a: \x01", "not valid YAML"),
        ("environments: {production: [*]}", "put text that begins with * in quotes"),
        ("- a\n- b", "must hold settings"),
        ("just text", "must hold settings"),
        ("timezone: UTC\n---\ntimezone: UTC", "2 YAML documents"),
        ("1: 2", "1: "),
    ],
)
def test_what_is_not_a_settings_file_is_told_with_the_file(home: Home, text: str, words: str) -> None:
    message = mistakes_of(home, text)
    assert message.startswith(str(home.settings_file))
    assert words in message


def test_a_file_that_is_not_utf_8_is_told_with_the_place(home: Home) -> None:
    home.settings_file.write_bytes(b"timezone: Europe/Z\xfcrich\n")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 18\); save it as UTF-8"):
        read_settings(home)


def test_a_folder_in_the_place_of_the_file_is_told(home: Home) -> None:
    home.settings_file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(home)


def test_the_home_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DORA_HOME", str(tmp_path))
    assert default_home().path == tmp_path
    monkeypatch.setenv("DORA_HOME", " ")
    assert default_home().path.name == "data"


# What settings shape


def test_what_landed_is_shaped_by_these_settings_and_no_others() -> None:
    assert shaping(HomeSettings(), Shapes.LANDING) == {
        "timezone": "UTC",
        "environments": {},
        "merge_window": "PT10M",
        "sources.apm_deployment_tracking.path": "exports/apm",
        "sources.apm_deployment_tracking.quiet_gap": "PT1H",
    }


def test_what_records_become_is_shaped_by_who_is_wanted_and_not_by_where_they_come_from() -> None:
    shaped = shaping(HomeSettings(), Shapes.RECORDS).keys()
    assert shaped >= {"datadog.site", "sources.pagerduty.service_ids", "sources.pagerduty.team_ids"}
    assert not shaped & {"datadog.api_url", "sources.pagerduty.api_url", "sources.failure_event_api.pull_from_datadog"}


def test_the_order_of_the_environments_shapes_what_landed_for_the_first_that_matches_counts(home: Home) -> None:
    first = settings_of(home, "environments: {a: [p*], b: ['*d']}")
    other = settings_of(home, "environments: {b: ['*d'], a: [p*]}")
    assert (first.environment("prod"), other.environment("prod")) == ("a", "b")
    texts = [json.dumps(shaping(settings, Shapes.LANDING)) for settings in (first, other)]
    assert texts[0] != texts[1]

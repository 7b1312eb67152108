"""README's way from an empty folder to the four metrics, done as it is written."""

import json
import os
import re
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dora_pipeline.config import project_folder
from dora_pipeline_tests.git_histories import History
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.intake_servers import API_KEY, intake_in_process
from dora_pipeline_tests.sending import Sender

_README = (project_folder() / "README.md").read_text(encoding="utf-8")
_SECTION = _README.partition("## Your own data\n")[2].partition("\n## ")[0]
_SHELL = "".join(re.findall(r"^```\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL))
_CLONE_URL = "https://github.com/organization/shop.git"
# Seconds after 2024-01-01, and what 2026-01-05T10:30:00Z is.
_SECOND_COMMIT = 735 * 86400 + 10 * 3600 + 1800


def _commands() -> list[str]:
    """The commands of the section, each as one text; a document that one reads is part of it."""
    commands: list[str] = []
    lines = iter(_SHELL.replace("\\\n", " ").splitlines())
    for line in lines:
        command = line
        if match := re.search(r"<<'(\w+)'$", line):
            command += "".join(f"\n{text}" for text in iter(lambda: next(lines), match[1]))
        while command.count('"') % 2 and "<<" not in line:
            command += "\n" + next(lines)
        commands.append(command)
    return commands


def _write(command: str, home: TestHome) -> None:
    head, _, text = command.partition("\n")
    path = home.home.path / head.split()[2].removeprefix("data/")
    path.write_text(text + "\n", encoding="utf-8")


def _curled(command: str) -> Path:
    """Where curl puts the answer to what it asks, which is a question of Datadog's API."""
    words = shlex.split(re.sub(r"\$\([^)]*\)", "1767600000", command))
    data = [words[at + 1] for at, word in enumerate(words) if word in ("-d", "--data-urlencode")]
    headers = [words[at + 1] for at, word in enumerate(words) if word == "-H"]
    assert [header.partition(":")[0] for header in headers] == ["DD-API-KEY", "DD-APPLICATION-KEY"]
    (url,) = (word for word in words if word.startswith("https:"))
    assert urlsplit(url).path == "/api/v1/query"
    assert "--get" in words
    asked = parse_qs("&".join(data).replace("+", " "))
    assert asked.keys() == {"from", "to", "query"}
    assert re.fullmatch(r"sum:trace\.[a-z.]+\.hits\{\*\} by \{env,version,service\}\.as_count\(\)", asked["query"][0])
    return Path(words[words.index("-o") + 1])


def test_what_the_readme_says_leads_from_an_empty_folder_to_four_metrics(
    tmp_path: Path, dora: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    first = history.commit(committed=0)
    second = history.commit(first, committed=_SECOND_COMMIT)
    written = history.write(tmp_path / "shop.git", {"main": second})
    shas = iter([written[first], written[second]])
    home = TestHome(tmp_path / "data")
    monkeypatch.setenv("DORA_HOME", str(home.home.path))
    monkeypatch.chdir(tmp_path)
    downloaded: list[Path] = []
    shown = ""
    with intake_in_process(home.home) as (url, _):
        values = {"http://127.0.0.1:8080": url, "$(openssl": API_KEY, "$DORA_INTAKE_API_KEYS": API_KEY}
        for command in _commands():
            command = re.sub("[0-9a-f]{40}", lambda _: next(shas), command).replace(
                _CLONE_URL, str(tmp_path / "shop.git")
            )
            if command.startswith("cat > "):
                _write(command, home)
            elif command.startswith("curl "):
                downloaded.append(_curled(command))
            elif command.startswith("export "):
                for name, value in re.findall(r"([A-Z_]+)=(\S+)", command):
                    monkeypatch.setenv(name, values.get(value, "a-key-of-datadog"))
            else:
                name, *arguments = shlex.split(command)
                assert name == ".venv/bin/dora"
                if arguments[0] not in ("serve", "dashboard"):
                    answer = dora(*arguments)
                    assert answer.code == 0, (command, answer.err)
                    shown = answer.out
    # A run that pulls sends it to Datadog.
    assert os.environ["DD_API_KEY"] == "a-key-of-datadog"
    (expected,) = re.findall(r"^```text\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)
    assert shown == expected
    assert home.rows("SELECT service, team FROM core.services") == [("shop", "checkout")]
    assert home.rows("SELECT COUNT(*) FROM core.rejected_events") == [(0,)]

    # What curl would have brought: a series of Datadog's, with points by the minute.
    (answer_file,) = downloaded
    tags = ["env:prod", "version:9", "service:cart"]
    series = {"scope": ",".join(tags), "tag_set": tags, "interval": 60, "pointlist": [[1767787200000, 3.0]]}
    (tmp_path / answer_file).write_text(json.dumps({"status": "ok", "res_type": "time_series", "series": [series]}))
    home.run()
    deployed = (
        "SELECT env, version, strftime(finished_at, '%Y-%m-%d %H:%M') FROM core.deployments WHERE service = 'cart'"
    )
    assert home.rows(deployed) == [("production", "9", "2026-01-07 12:00")]

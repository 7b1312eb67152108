"""The selection log: what is selected, since when, and what the file survives."""

import stat
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError
from dora_pipeline.selection import (
    Selection,
    SelectionLog,
    append_selection,
    read_selection_log,
)
from dora_pipeline.sources.registry import sources_of
from dora_pipeline.tables import SourceSelections

APM, API = "apm_deployment_tracking", "deployment_event_api"
HEADER = "event_type,selected_at,sources\n"
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return datetime(2024, 5, number, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def log_of(home: Home, text: str | bytes) -> SelectionLog:
    home.selection_log.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_selection_log(home, now=NOW)


def mistakes_of(home: Home, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        log_of(home, text)
    return str(caught.value)


def spans_of(log: SelectionLog) -> list[tuple[object, ...]]:
    return SourceSelections.validate(log.spans()).rows()


# Meaning of the log


def test_no_file_means_that_nothing_was_ever_selected(home: Home) -> None:
    log = read_selection_log(home)
    assert log.entries == ()
    assert log.selected("deployment") == ()
    assert log.first_selected_at(APM) is None
    assert spans_of(log) == []


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", HEADER, HEADER.strip()])
def test_an_empty_file_means_the_same(home: Home, text: str) -> None:
    assert log_of(home, text).entries == ()


def test_the_newest_entry_of_each_event_type_holds(home: Home) -> None:
    log = log_of(
        home,
        HEADER
        + "deployment,2024-05-02T00:00:00Z,apm_deployment_tracking\n"
        + "failure,2024-05-01T00:00:00Z,pagerduty;failure_event_api\n"
        + "deployment,2024-05-03T00:00:00Z,deployment_event_api;apm_deployment_tracking\n",
    )
    assert log.selected("deployment") == (API, APM)
    assert log.selected("failure") == ("pagerduty", "failure_event_api")


def test_reselecting_a_source_keeps_its_first_moment(home: Home) -> None:
    append_selection(home, "deployment", [APM], at=day(1))
    append_selection(home, "deployment", [API], at=day(2))
    append_selection(home, "deployment", [APM], at=day(3))
    log = read_selection_log(home)
    assert log.first_selected_at(APM) == day(1)
    assert log.first_selected_at(API) == day(2)
    assert spans_of(log) == [
        ("deployment", APM, day(1), day(2), day(1), False, 1),
        ("deployment", APM, day(3), None, day(1), True, 1),
        ("deployment", API, day(2), day(3), day(2), False, 1),
    ]


def test_a_source_that_stays_keeps_its_span_and_takes_the_newest_priority(home: Home) -> None:
    append_selection(home, "failure", ["pagerduty"], at=day(1))
    append_selection(home, "failure", ["datadog_incidents", "pagerduty"], at=day(2))
    append_selection(home, "failure", ["failure_event_api", "datadog_incidents"], at=day(3))
    assert spans_of(read_selection_log(home)) == [
        ("failure", "datadog_incidents", day(2), None, day(2), True, 2),
        ("failure", "failure_event_api", day(3), None, day(3), True, 1),
        ("failure", "pagerduty", day(1), day(3), day(1), False, 2),
    ]


@given(
    st.lists(st.permutations(sources_of("failure")).flatmap(lambda p: st.integers(1, 3).map(lambda n: tuple(p[:n]))))
)
def test_spans_tell_at_each_moment_what_the_entries_tell(sets: list[tuple[str, ...]]) -> None:
    log = SelectionLog(
        tuple(Selection("failure", NOW + timedelta(hours=hour), sources) for hour, sources in enumerate(sets))
    )
    frame = SourceSelections.validate(log.spans())
    for hour, sources in enumerate(sets):
        moment = NOW + timedelta(hours=hour)
        ended = pl.col("unselected_at").is_not_null() & (pl.col("unselected_at") <= moment)
        active = frame.filter((pl.col("selected_at") <= moment) & ~ended)
        assert set(active["source"]) == set(sources)
    assert tuple(frame.filter("is_selected").sort("priority")["source"]) == log.selected("failure")


# Reading a file that people edit


def test_byte_order_mark_crlf_blank_lines_quotes_and_plurals_are_fine(home: Home) -> None:
    text = (
        "\ufeffevent_type,selected_at,sources\r\n\r\n"
        'deployments,2024-05-01T02:00:00+02:00,"apm_deployment_tracking;deployment_event_api"\r\n'
        " failures , 2024-05-01 00:00:00Z , pagerduty ; datadog_incidents \r\n\r\n"
    )
    assert log_of(home, text).entries == (
        Selection("deployment", day(1), (APM, API)),
        Selection("failure", day(1), ("pagerduty", "datadog_incidents")),
    )


def test_every_mistake_of_the_file_is_told_with_its_line(home: Home) -> None:
    message = mistakes_of(
        home,
        HEADER
        + "deployment,2024-05-03T00:00:00Z,apm_deployment_tracking\n"
        + "deployment,2024-05-02T00:00:00Z,deployment_event_api\n"
        + "deployment,2024-05-03T00:00:00Z,deployment_event_api\n"
        + "\n"
        + "release,2024-05-04T00:00:00Z,apm_deployment_tracking\n"
        + "failure,2024-05-01T00:00:00,jira;pagerduty;pagerduty\n"
        + "failure,soon,apm_deployment_tracking\n"
        + "failure,2024-07-01T00:00:00Z,pagerduty\n"
        + "failure,2024-05-01T00:00:00Z\n"
        + "failure,2024-05-01T00:00:00Z,pagerduty,datadog_incidents\n"
        + "failure,2024-07-02T00:00:00Z,\n"
        + 'failure,"2024-07-03T00:00:00Z,pagerduty\n',
    )
    file = home.selection_log
    choices = f"choose from {', '.join(sources_of('failure'))}"
    fields = "in place of event_type,selected_at,sources; separate the sources by ';'"
    assert message.splitlines() == [
        "14 mistakes:",
        f"{file}, line 3: 2024-05-02T00:00:00Z is not later than 2024-05-03T00:00:00Z above it",
        f"{file}, line 4: 2024-05-03T00:00:00Z is not later than 2024-05-03T00:00:00Z above it",
        f"{file}, line 6: event_type 'release' is neither deployment nor failure",
        f"{file}, line 7: 'jira' is not a source; for failures {choices}",
        f"{file}, line 7: 'pagerduty' is named twice",
        f"{file}, line 7: selected_at: '2024-05-01T00:00:00' has no time zone; write it as 2024-05-06T07:08:09Z",
        f"{file}, line 8: 'apm_deployment_tracking' is a source of deployments; for failures {choices}",
        f"{file}, line 8: selected_at: 'soon' is not a time; write it as 2024-05-06T07:08:09Z",
        f"{file}, line 9: 2024-07-01T00:00:00Z is in the future (now: 2024-06-01T00:00:00Z)",
        f"{file}, line 10: 2 fields {fields}",
        f"{file}, line 11: 4 fields {fields}",
        f"{file}, line 12: no source is named; {choices}",
        f"{file}, line 12: 2024-07-02T00:00:00Z is in the future (now: 2024-06-01T00:00:00Z)",
        f"{file}, line 13: 1 fields {fields}",
    ]


@pytest.mark.parametrize("header", ["event_type,selected_at", "event_type;selected_at;sources", "deployment,x,y", '"'])
def test_a_wrong_header_is_told(home: Home, header: str) -> None:
    message = mistakes_of(home, f"\n{header}\ndeployment,2024-05-03T00:00:00Z,{APM}\n")
    assert message == f"{home.selection_log}, line 2: the header must be event_type,selected_at,sources"


def test_a_file_that_is_not_utf_8_is_told(home: Home) -> None:
    assert "is not UTF-8 text (byte 31)" in mistakes_of(home, HEADER.encode() + b"\xff")


def test_a_clock_that_is_a_little_behind_does_not_make_the_log_unreadable(home: Home) -> None:
    append_selection(home, "deployment", [APM], now=NOW)
    assert read_selection_log(home, now=NOW - timedelta(minutes=4)).selected("deployment") == (APM,)
    with pytest.raises(ConfigError, match="in the future"):
        read_selection_log(home, now=NOW - timedelta(minutes=6))


# Selecting


def test_selecting_writes_one_line_in_utc(home: Home) -> None:
    at = datetime.fromisoformat("2024-05-06T09:08:09.000007+02:00")
    entry = append_selection(home, "deployment", [API, APM], at=at, now=NOW)
    assert entry == Selection("deployment", datetime(2024, 5, 6, 7, 8, 9, 7, tzinfo=UTC), (API, APM))
    assert home.selection_log.read_text() == (
        HEADER + "deployment,2024-05-06T07:08:09.000007Z,deployment_event_api;apm_deployment_tracking\n"
    )


def test_selecting_takes_effect_from_now(home: Home) -> None:
    before = datetime.now(UTC)
    entry = append_selection(home, "failure", ["pagerduty"])
    assert before <= entry.selected_at <= datetime.now(UTC)


def test_selecting_the_same_again_writes_nothing(home: Home) -> None:
    first = append_selection(home, "deployment", [APM, API], at=day(1), now=NOW)
    content = home.selection_log.read_bytes()
    assert append_selection(home, "deployment", [APM, API], now=NOW) == first
    assert append_selection(home, "deployment", [APM, API], at=day(1), now=NOW) == first
    assert home.selection_log.read_bytes() == content


def test_another_order_is_another_selection(home: Home) -> None:
    append_selection(home, "deployment", [APM, API], at=day(1), now=NOW)
    append_selection(home, "deployment", [API, APM], at=day(2), now=NOW)
    assert read_selection_log(home).selected("deployment") == (API, APM)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([], "no source is named; choose from apm_deployment_tracking, deployment_event_api"),
        (["jira"], "'jira' is not a source"),
        ([""], "'' is not a source"),
        (["pagerduty"], "'pagerduty' is a source of failures"),
        ([APM, APM], "'apm_deployment_tracking' is named twice"),
        (["jira", "pagerduty", APM, APM], "3 mistakes:"),
    ],
)
def test_wrong_sources_are_refused_and_nothing_is_written(home: Home, sources: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        append_selection(home, "deployment", sources)
    assert words in str(caught.value)
    assert not home.selection_log.exists()


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (NOW + timedelta(seconds=1), "2024-06-01T00:00:01Z is in the future (now: 2024-06-01T00:00:00Z)"),
        (day(9), "2024-05-09T00:00:00Z is not later than the newest selection of deployments (2024-05-10T00:00:00Z)"),
        (day(10), "2024-05-10T00:00:00Z is not later than the newest selection of deployments (2024-05-10T00:00:00Z)"),
        (datetime(2024, 5, 20), "'2024-05-20T00:00:00' has no time zone"),
        (datetime(1999, 5, 20, tzinfo=UTC), "is not between the years 2000 and 2200"),
    ],
)
def test_moments_out_of_order_are_refused_with_both_moments(home: Home, at: datetime, words: str) -> None:
    append_selection(home, "deployment", [APM], at=day(10), now=NOW)
    content = home.selection_log.read_bytes()
    with pytest.raises(ConfigError) as caught:
        append_selection(home, "deployment", [API], at=at, now=NOW)
    assert words in str(caught.value)
    assert home.selection_log.read_bytes() == content


def test_a_moment_before_the_newest_entry_of_the_other_event_type_is_fine(home: Home) -> None:
    append_selection(home, "deployment", [APM], at=day(10), now=NOW)
    append_selection(home, "failure", ["pagerduty"], at=day(1), now=NOW)
    assert read_selection_log(home).first_selected_at("pagerduty") == day(1)


@pytest.mark.parametrize(
    ("existing", "kept"),
    [
        (b"\xef\xbb\xbf" + HEADER.encode(), b"\xef\xbb\xbf" + HEADER.encode()),
        (HEADER.strip().encode(), HEADER.encode()),
        (
            b"event_type,selected_at,sources\r\n\r\nfailures, 2024-05-01T00:00:00Z ,pagerduty",
            b"event_type,selected_at,sources\r\n\r\nfailures, 2024-05-01T00:00:00Z ,pagerduty\n",
        ),
        (b"\n", b"\n" + HEADER.encode()),
        (b"\xef\xbb\xbf", b"\xef\xbb\xbf\n" + HEADER.encode()),
    ],
)
def test_what_stands_in_the_log_is_kept_byte_for_byte(home: Home, existing: bytes, kept: bytes) -> None:
    home.selection_log.write_bytes(existing)
    append_selection(home, "deployment", [APM], at=day(2), now=NOW)
    expected = kept + b"deployment,2024-05-02T00:00:00Z,apm_deployment_tracking\n"
    assert home.selection_log.read_bytes() == expected
    assert read_selection_log(home).selected("deployment") == (APM,)


def test_a_log_with_mistakes_is_not_appended_to(home: Home) -> None:
    home.selection_log.write_text(HEADER + "deployment,never,nothing\n")
    with pytest.raises(ConfigError, match="2 mistakes"):
        append_selection(home, "failure", ["pagerduty"])
    assert home.selection_log.read_text() == HEADER + "deployment,never,nothing\n"


def test_mode_and_symbolic_link_of_the_log_are_kept(home: Home, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    target = kept / "log.csv"
    target.write_text(HEADER)
    target.chmod(0o660)
    home.selection_log.symlink_to(target)
    append_selection(home, "deployment", [APM], now=NOW)
    assert home.selection_log.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o660
    assert read_selection_log(home).selected("deployment") == (APM,)


def test_a_home_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder; create it with `dora init`"):
        append_selection(Home(tmp_path / "typo"), "deployment", [APM])


def test_a_log_that_stays_locked_is_told(home: Home) -> None:
    code = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print('held', flush=True); input()"
    lock = home.path / ".source_selections.csv.lock"
    with subprocess.Popen([sys.executable, "-c", code, str(lock)], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another process has held the log for 0:00:01; try again later"):
            append_selection(home, "deployment", [APM], lock_timeout=timedelta(seconds=1))
        holder.communicate("\n")
    append_selection(home, "deployment", [APM])


def test_a_log_that_cannot_be_read_or_written_is_told(home: Home) -> None:
    unfinished = home.path / ".source_selections.csv.unfinished"
    unfinished.mkdir()
    with pytest.raises(ConfigError, match=r"cannot be written: Is a directory; check owner, mode and free space"):
        append_selection(home, "deployment", [APM])
    home.selection_log.mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_selection_log(home)


# Several processes, and crashes

ALTERNATE = """
import sys
from pathlib import Path
from dora_pipeline.config import Home
from dora_pipeline.selection import append_selection
home, event_type, names = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
for turn in range(11):
    append_selection(home, event_type, [names[turn % len(names)]])
"""


def test_processes_that_select_at_once_lose_nothing_and_readers_always_see_a_whole_log(home: Home) -> None:
    arguments = [
        ["deployment", APM, API],
        ["failure", "pagerduty", "datadog_incidents"],
    ]
    writers = [
        subprocess.Popen([sys.executable, "-c", ALTERNATE, str(home.path), *names], cwd=Path(__file__).parent.parent)
        for names in arguments
    ]
    seen = [0]
    for writer in writers:
        while writer.poll() is None:
            seen.append(len(read_selection_log(home).entries))
            with suppress(subprocess.TimeoutExpired):
                writer.wait(timeout=0.005)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen == sorted(seen)
    log = read_selection_log(home)
    assert len(log.entries) == 22
    assert log.selected("deployment") == (APM,)
    assert log.selected("failure") == ("pagerduty",)


WAIT = """
import sys
from pathlib import Path
from dora_pipeline.config import Home
from dora_pipeline.selection import append_selection
home = Home(Path(sys.argv[1]))
print("ready", flush=True)
append_selection(home, "deployment", ["deployment_event_api"])
"""


def test_a_process_that_waited_for_another_comes_after_it(home: Home) -> None:
    command = [sys.executable, "-c", WAIT, str(home.path)]
    with FileLock(home.path / ".source_selections.csv.lock"):
        waiting = subprocess.Popen(command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True)
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "ready\n"
        home.selection_log.write_text(f"{HEADER}deployment,{datetime.now(UTC).isoformat()},{APM}\n")
    waiting.communicate()
    assert waiting.returncode == 0
    assert read_selection_log(home).selected("deployment") == (API,)


def test_processes_that_select_for_one_event_type_wait_for_each_other(home: Home) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", ALTERNATE, str(home.path), "deployment", APM, API], cwd=Path(__file__).parent.parent
        )
        for _ in range(2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    moments = [entry.selected_at for entry in read_selection_log(home).entries]
    assert moments == sorted(set(moments))


@pytest.mark.parametrize(
    ("replaced", "survivors"),
    [
        ("os.replace", 1),
        ("os.fsync", 1),
        ("os.close", 2),
    ],
)
def test_a_process_killed_in_the_middle_leaves_the_old_or_the_new_log(
    home: Home, replaced: str, survivors: int
) -> None:
    append_selection(home, "deployment", [APM], at=day(1), now=NOW)
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from dora_pipeline.config import Home; from dora_pipeline.selection import append_selection\n"
        f"{replaced} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "append_selection(Home(Path(sys.argv[1])), 'deployment', ['deployment_event_api'])\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(home.path)], cwd=Path(__file__).parent.parent, check=False)
    assert killed.returncode == -9
    assert len(read_selection_log(home).entries) == survivors
    append_selection(home, "failure", ["pagerduty"])
    assert len(read_selection_log(home).entries) == survivors + 1
    assert not list(home.path.glob(".*.unfinished"))

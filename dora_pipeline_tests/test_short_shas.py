"""One deployment told by two selected sources, by one of them with the beginning of its SHA only."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.test_selection_rules import APM, EVENT_API, counting, duplicates, ready
from dora_pipeline_tests.test_updates_and_collisions import assert_equal_to_a_rebuild

ONE, OTHER = "abcdef1" + "0" * 33, "abcdef1" + "1" * 33


@pytest.mark.parametrize(("order", "counts"), [((EVENT_API, APM), "one"), ((APM, EVENT_API), "apm:one")])
@pytest.mark.parametrize(("sent", "seen"), [("abcdef1", ONE), (ONE, "ABCDEF1"), (ONE[:12], ONE[:7])])
def test_a_short_sha_and_the_whole_one_count_once(
    home: TestHome, order: Sequence[str], counts: str, sent: str, seen: str
) -> None:
    home.select("deployment", *order)
    home.deploy("shop", "2024-05-06T10:00:00", id="one", version="1", git={"commit_sha": sent})
    ready(home, {"id": "one", "finished": "2024-05-06T10:05:00", "version": "2", "git": {"commit_sha": seen}})
    home.run()
    assert counting(home) == [counts]


def test_the_beginning_of_another_sha_and_one_outside_of_the_merge_window_are_other_deployments(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM)
    home.deploy("shop", "2024-05-06T10:00:00", id="other", git={"commit_sha": "abcdef2"})
    home.deploy("shop", "2024-05-06T12:00:00", id="early", git={"commit_sha": "abcdef1"})
    ready(
        home,
        {"id": "one", "finished": "2024-05-06T10:05:00", "git": {"commit_sha": ONE}},
        {"id": "late", "finished": "2024-05-06T12:10:00.000001", "git": {"commit_sha": ONE}},
    )
    home.run()
    assert duplicates(home) == []
    assert counting(home) == ["apm:late", "apm:one", "early", "other"]


@pytest.mark.parametrize("order", [(EVENT_API, APM), (APM, EVENT_API)])
def test_a_short_sha_that_two_whole_ones_begin_with_is_the_nearest_of_them(
    home: TestHome, order: Sequence[str]
) -> None:
    home.select("deployment", *order)
    home.deploy("shop", "2024-05-06T10:04:00", id="short", git={"commit_sha": "abcdef1"})
    ready(
        home,
        {"id": "far", "finished": "2024-05-06T10:00:00", "git": {"commit_sha": ONE}},
        {"id": "near", "finished": "2024-05-06T10:05:00", "git": {"commit_sha": OTHER}},
    )
    home.run()
    assert duplicates(home) == [{EVENT_API: ("apm:near", "short"), APM: ("short", "apm:near")}[order[0]]]
    assert len(counting(home)) == 2
    assert_equal_to_a_rebuild(home)


def test_the_version_says_which_of_two_whole_shas_a_short_one_is(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM)
    home.deploy("shop", "2024-05-06T10:04:00", id="short", version="1", git={"commit_sha": "abcdef1"})
    ready(
        home,
        {"id": "far", "finished": "2024-05-06T10:00:00", "version": "1", "git": {"commit_sha": ONE}},
        {"id": "near", "finished": "2024-05-06T10:05:00", "version": "2", "git": {"commit_sha": OTHER}},
    )
    home.run()
    assert duplicates(home) == [("apm:far", "short")]


def test_what_a_short_sha_is_does_not_depend_on_which_of_the_deployments_is_loaded_first(home: TestHome) -> None:
    home.settings(merge_window="12h")
    home.select("deployment", EVENT_API, APM)
    far = {"id": "far", "finished": "2024-05-06T12:30:00", "git": {"commit_sha": ONE}}
    near = {"id": "near", "finished": "2024-05-07T06:00:00", "git": {"commit_sha": OTHER}}
    home.deploy("shop", "2024-05-07T00:10:00", id="short", git={"commit_sha": "abcdef1"})
    ready(home, far, file="far.jsonl")
    home.run()
    assert counting(home) == ["short"]
    ready(home, near, file="near.jsonl")
    home.run()
    assert counting(home) == ["apm:far", "short"]
    assert_equal_to_a_rebuild(home)
    (home.home.path / "exports/apm/near.jsonl").unlink()
    home.run()
    assert counting(home) == ["short"]
    assert_equal_to_a_rebuild(home)


def test_versions_are_compared_as_they_are_written(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM)
    home.deploy("shop", "2024-05-06T10:00:00", id="one", version="v1.2.0")
    ready(home, {"id": "one", "finished": "2024-05-06T10:01:00", "version": "1.2.0"})
    home.run()
    assert counting(home) == ["apm:one", "one"]


def test_the_lengths_of_a_sha_may_grow_from_telling_to_telling(home: TestHome) -> None:
    home.select("deployment", EVENT_API, APM)
    lengths = (7, 9, 12, 40)
    for place, (sent, seen) in enumerate(pairwise(lengths)):
        home.deploy("shop", f"2024-05-06T1{place}:00:00", id=f"{place}", git={"commit_sha": ONE[:sent]})
        ready(
            home,
            {"id": f"{place}", "finished": f"2024-05-06T1{place}:01:00", "git": {"commit_sha": ONE[:seen]}},
            file=f"{place}.jsonl",
        )
    home.run()
    assert counting(home) == ["0", "1", "2"]

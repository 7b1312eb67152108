"""The search of events, on any database: `systems/` runs the same tests on PostgreSQL."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.store.database import SearchTooLong
from dora_pipeline.intake.store.search import SearchSyntaxError, condition
from dora_pipeline_tests.costs import processor_seconds
from dora_pipeline_tests.examples import examples

SECOND = 1_714_996_800
START = datetime(2024, 5, 6, 12, tzinfo=UTC)
SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"


def tell(store: EventStore, **events: dict[str, Any]) -> None:
    """Deployments by their ids; each starts a second after the one before."""
    for number, (name, attributes) in enumerate(events.items()):
        store.append("deployment", {"started_at": SECOND + number} | attributes, event_id=name)


def found(store: EventStore, query: str, **options: Any) -> list[str]:
    options = {"descending": False, "limit": 100} | options
    return [event.event_id for event in store.search("deployment", query=query, **options)]


def fleet(store: EventStore) -> None:
    tell(
        store,
        shop={"service": "shop", "env": "prod", "team": "web", "version": "v1.2"},
        api={"service": "api", "env": "prod", "team": "backend", "version": "v1.10"},
        stage={"service": "shop", "env": "staging", "version": "nightly v2"},
        many={"services": [" shop ", "cart"], "env": "Prod", "severity": "SEV-1", "name": 'It "fell" \\ over: (twice)'},
        bare={"git": "main", "custom_tags": "x", "service": 7, "env": None, "team": {}},
    )


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["shop", "api", "stage", "many", "bare"]),
        (" \n", ["shop", "api", "stage", "many", "bare"]),
        ("*", ["shop", "api", "stage", "many", "bare"]),
        ("service:shop", ["shop", "stage", "many"]),
        ("services:cart", ["many"]),
        ("service:Shop", []),
        ("service:sho", []),
        ("env:prod", ["shop", "api"]),
        ("env:Prod", ["many"]),
        ("service:shop env:prod", ["shop"]),
        ("service:shop AND env:prod", ["shop"]),
        ("service:(shop OR api) env:prod", ["shop", "api"]),
        ("service:(shop cart)", ["many"]),
        ("service:(shop AND -cart)", ["shop", "stage"]),
        ("service:(shop AND NOT (cart OR api))", ["shop", "stage"]),
        ("service:api OR env:staging", ["api", "stage"]),
        ("service:api OR service:shop env:staging", ["api", "stage"]),
        ("(service:api OR service:shop) env:staging", ["stage"]),
        ("-service:shop", ["api", "bare"]),
        ("NOT service:shop", ["api", "bare"]),
        ("-(service:shop OR service:api)", ["bare"]),
        ("--service:api", ["api"]),
        ("NOT NOT service:api", ["api"]),
        ("-service:(shop OR api)", ["bare"]),
        ("team:*", ["shop", "api"]),
        ("-team:*", ["stage", "many", "bare"]),
        ("version:v1*", ["shop", "api"]),
        ("version:*v2*", ["stage"]),
        ("version:v1.?", ["shop"]),
        ("version:v1.??", ["api"]),
        ("version:?1.*0", ["api"]),
        ('version:"nightly v2"', ["stage"]),
        (r"version:nightly\ v2", ["stage"]),
        ("version:nightly?v2", ["stage"]),
        ('version:"v1*"', []),
        (r"version:v1\*", []),
        ("severity:(SEV-1 OR SEV-2)", ["many"]),
        (r'name:"It \"fell\" \\ over: (twice)"', ["many"]),
        (r"name:It*over:\ \(twice\)", ["many"]),
        ("name:*fell*", ["many"]),
        ("id:api", ["api"]),
        ("id:a*", ["api"]),
        ("id:(api OR bare)", ["api", "bare"]),
        ("id:unknown", []),
        ('id:"a\x00b"', []),
        ("id:\ud800", []),
        ("-id:api service:*", ["shop", "stage", "many"]),
    ],
)
def test_a_query_finds(store: EventStore, query: str, names: list[str]) -> None:
    fleet(store)
    assert found(store, query) == names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (f"git.commit_sha:{SHA}", ["https", "ssh"]),
        (f"commit_sha:{SHA.upper()}", ["https", "ssh"]),
        ("commit_sha:66ADC*", ["https", "ssh"]),
        ("repository_id:github.com/org/app", ["https", "ssh"]),
        ("git.repository_id:github.com/Org/App", ["https", "ssh"]),
        ("git.repository_url:https://user:token@github.com/Org/App.git", ["https", "ssh"]),
        ('git.repository_url:("git@github.com:org/app" OR "https://gitlab.com/x/y")', ["https", "ssh", "other"]),
        ("repository_id:github.com/*", ["https", "ssh"]),
        ("-repository_id:GitHub.com/*", ["other", "none"]),
        ("repository_id:app", []),
    ],
)
def test_commits_and_repositories_are_found_in_every_spelling(store: EventStore, query: str, names: list[str]) -> None:
    tell(
        store,
        https={"git": {"commit_sha": SHA, "repository_url": "https://github.com/org/app.git"}},
        ssh={"git": {"commit_sha": SHA.upper(), "repository_url": "git@github.com:Org/App.git"}},
        other={"git": {"commit_sha": SHA[::-1], "repository_id": "gitlab.com/x/y"}},
        none={"git": {"commit_sha": 7}},
    )
    assert found(store, query) == names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("language:java", ["one"]),
        ("@language:java", ["one"]),
        ("language:*", ["one", "two"]),
        ("language:(go OR java)", ["one", "two"]),
        ("url:https://a/b", ["one"]),
        ("@service:inner", ["two"]),
        ("service:inner", []),
        ("plain:*", []),
        ("käse:ja", ["two"]),
    ],
)
def test_custom_tags_are_found_by_their_key(store: EventStore, query: str, names: list[str]) -> None:
    tell(
        store,
        one={"service": "a", "custom_tags": ["language:java", "url:https://a/b", "plain", 7]},
        two={"service": "a", "custom_tags": ["language:go", "service:inner", "käse:ja"]},
    )
    assert found(store, query) == names


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("change_failure:true", ["failed"]),
        ("change_failure:false", ["stable"]),
        ("-change_failure:*", ["unknown", "odd"]),
        ("-change_failure:true", ["stable", "unknown", "odd"]),
    ],
)
def test_change_failure_has_three_states(store: EventStore, query: str, names: list[str]) -> None:
    states = {"failed": True, "stable": False, "unknown": None, "odd": "true"}
    tell(store, **{name: {"service": "a", "change_failure": state} for name, state in states.items()})
    assert found(store, query) == names


@pytest.mark.parametrize("value", ["50%", "a_b", "/x/", "läden-🚢", "tab\there", "zero\x00byte", "half \ud83d", "it's"])
def test_values_with_any_character_are_found(store: EventStore, value: str) -> None:
    tell(store, wanted={"service": value}, other={"service": "axb 500 /y/ its"})
    assert found(store, f'service:"{value}"') == ["wanted"]
    assert found(store, f'service:*"{value[1:]}"') == ["wanted"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("shop", "character 1: shop has no key; write one before it, such as service:shop"),
        ("service:shop prod", "character 14: prod has no key"),
        ('"service:shop"', "character 1: .* has no key"),
        ("service:", "character 1: service: has no value; write it right behind the colon"),
        ("service: shop", "character 1: service: has no value"),
        ("service:shop env:", "character 14: env: has no value"),
        ("service:env:prod:", None),
        ("service:(env:prod)", "character 10: a key stands among the values of service; put the value in quotes"),
        (":shop", "character 1: a key is missing before the colon; write key:value"),
        ("*:shop", "character 1: a key is missing before the colon"),
        ("(service:shop", "character 1: this parenthesis is not closed"),
        ("service:(shop", "character 9: this parenthesis is not closed"),
        ("service:shop)", "character 13: this parenthesis closes none"),
        ("()", r"character 2: \) stands where a term is missing; write key:value"),
        ("service:()", r"character 10: \) stands where a term is missing"),
        ("service:shop OR", "character 16: the query ends where a term is missing"),
        ("service:shop OR AND env:prod", "character 17: AND stands where a term is missing"),
        ("AND", "character 1: AND stands where"),
        ("OR service:shop", "character 1: OR stands where"),
        ("-", "character 2: the query ends where"),
        ("NOT", "character 4: the query ends where"),
        ('service:"shop', "character 9: the quotes are not closed"),
        ('service:"shop\\"', "character 9: the quotes are not closed"),
        ("service:shop\\", "character 13: a backslash stands before nothing"),
        ('service:""', "character 9: the value is empty; write -service:\\* for events without service"),
        ('service:" "', "character 9: the value is empty"),
        ("version:>5", "character 9: ranges and comparisons are not known"),
        ("version:[1 TO 5]", "character 9: ranges and comparisons are not known"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(query: str, message: str | None) -> None:
    if message is None:
        assert condition(query)
    else:
        with pytest.raises(SearchSyntaxError, match=message):
            condition(query)


LONGEST = "service:(" + " OR ".join(f"s{number}" for number in range(500)) + ")"


@pytest.mark.parametrize(
    "query",
    [
        "(" * 4_000,
        "(" * 4_000 + ")" * 4_000,
        "(" * 4_000 + "service:a" + ")" * 4_000,
        "(" * 10_000 + "service:a" + ")" * 10_000,
        "-" * 8_000 + "service:a",
        "NOT " * 2_000 + "service:a",
        "service:" + "(" * 4_000,
        "service:a " * 800,
        "service:(" + "a OR " * 1_500 + "a)",
        "a" * (1 << 20),
        "service:a OR " * 100_000,
        '"' * 8_191,
        "\\" * 8_191,
        ":" * 8_000,
    ],
)
def test_a_query_without_end_is_refused_at_no_great_cost(query: str) -> None:
    def refuse() -> None:
        with pytest.raises(SearchSyntaxError):
            condition(query)

    assert processor_seconds(refuse) < 20 * processor_seconds(lambda: condition(LONGEST))


@pytest.mark.parametrize(
    "pattern", ["*a" * 500 + "b", "a*" * 500 + "b", "*?a" * 500 + "*b", "?*" * 500 + "b", "*" * 4_000 + "b"]
)
def test_wildcards_take_no_exponential_time(store: EventStore, pattern: str) -> None:
    tell(store, long={"service": "a" * 5_000})
    plain = processor_seconds(lambda: found(store, LONGEST))
    assert found(store, f"service:{pattern}") == []
    assert processor_seconds(lambda: found(store, f"service:{pattern}")) < 20 * plain


def test_the_longest_query_is_answered(store: EventStore) -> None:
    tell(store, first={"service": "s0"}, last={"service": "s499"}, other={"service": "s500"})
    assert found(store, LONGEST) == ["first", "last"]
    assert found(store, " ".join(f"-service:x{number}" for number in range(500))) == ["first", "last", "other"]
    assert found(store, "service:" + "%" * 8_000) == []
    assert found(store, "(" * 50 + "service:s0" + ")" * 50) == ["first"]


def test_events_come_newest_first_and_ten_at_most(store: EventStore) -> None:
    tell(store, **{f"event-{number:02}": {"service": "a"} for number in range(12)})
    assert [event.event_id for event in store.search("deployment")] == [
        f"event-{number:02}" for number in range(11, 1, -1)
    ]
    assert found(store, "", descending=False, limit=2) == ["event-00", "event-01"]
    assert found(store, "", descending=True, limit=1) == ["event-11"]


def test_events_come_in_order_of_their_finish_when_asked_for(store: EventStore) -> None:
    tell(
        store,
        open={"service": "a"},
        slow={"service": "b", "finished_at": SECOND + 900},
        quick={"service": "c", "finished_at": (SECOND + 9) * 10**9},
        odd={"service": "d", "finished_at": "soon"},
    )
    assert found(store, "", sort="finished_at") == ["quick", "slow", "odd", "open"]
    assert found(store, "", sort="finished_at", descending=True) == ["slow", "quick", "odd", "open"]
    assert found(store, "", sort="finished_at", limit=3) == ["quick", "slow", "odd"]
    assert found(store, "service:(a OR b)", sort="finished_at") == ["slow", "open"]


def test_both_bounds_are_included(store: EventStore) -> None:
    tell(store, a={"service": "a"}, b={"service": "b"}, c={"service": "c"}, odd={"started_at": "soon"})
    second = timedelta(seconds=1)
    assert found(store, "", first=START + second) == ["b", "c"]
    assert found(store, "", last=START + second) == ["a", "b"]
    assert found(store, "", first=START + second, last=START + second) == ["b"]
    assert found(store, "", first=START + second / 2, last=START + 3 * second / 2) == ["b"]
    assert found(store, "", first=START, last=START - second) == []
    assert found(store, "", sort="finished_at", first=START + second) == ["b", "c"]
    assert found(store, "") == ["a", "b", "c", "odd"]
    with pytest.raises(ValueError, match="no time zone"):
        store.search("deployment", first=datetime(2024, 5, 6))


def test_events_of_one_moment_come_in_order_of_their_ids(store: EventStore) -> None:
    for name in ("c", "a", "d", "b"):
        store.append("deployment", {"started_at": SECOND, "service": name}, event_id=name)
    assert found(store, "") == ["a", "b", "c", "d"]
    assert found(store, "", descending=True) == ["a", "b", "c", "d"]


def test_pages_by_time_lose_no_event(store: EventStore) -> None:
    told = [{"id": f"{n:03}", "service": f"s{n}", "started_at": SECOND + n // 3} for n in range(200)]
    store.append_many("deployment", told)
    seen: set[str] = set()
    last = None
    while True:
        page = store.search("deployment", last=last, limit=20)
        fresh = {event.event_id for event in page} - seen
        if not fresh:
            break
        seen |= fresh
        last = datetime.fromtimestamp(page[-1].attributes["started_at"], UTC)
    assert len(seen) == 200


def test_deleted_events_and_those_of_other_types_are_not_found(store: EventStore) -> None:
    tell(store, gone={"service": "a"}, here={"service": "b"})
    store.append("failure", {"services": ["a"], "started_at": SECOND}, event_id="failure")
    store.append("delivery", {"event": {"id": "x"}}, event_id="delivery")
    store.delete("deployment", "gone")
    assert found(store, "") == ["here"]
    assert [event.event_id for event in store.search("failure", query="service:a")] == ["failure"]
    assert [event.event_id for event in store.search("delivery")] == ["delivery"]


def test_a_change_of_time_moves_the_event(store: EventStore) -> None:
    tell(store, a={"service": "a"}, b={"service": "b"})
    store.append("deployment", {"started_at": SECOND + 60}, event_id="a")
    assert found(store, "") == ["b", "a"]
    assert found(store, "", first=START + timedelta(seconds=30)) == ["a"]


VALUES = st.sampled_from(["a", "b", "ab", "a b", "A", "*", "ü", "%"])
EVENTS = st.lists(
    st.fixed_dictionaries({}, optional={"service": VALUES, "env": VALUES, "team": VALUES}), min_size=1, max_size=6
)
TERMS = st.builds(lambda key, value: ("is", key, value), st.sampled_from(["service", "env", "team"]), VALUES)
QUERIES = st.recursive(
    TERMS,
    lambda parts: st.one_of(
        st.builds(lambda part: ("not", part), parts),
        st.builds(lambda left, right: ("and", left, right), parts, parts),
        st.builds(lambda left, right: ("or", left, right), parts, parts),
    ),
    max_leaves=8,
)


def written(query: Any) -> str:
    match query:
        case ("is", key, value):
            return f'{key}:"{value}"'
        case ("not", part):
            return f"-({written(part)})"
        case ("and", left, right):
            return f"({written(left)} {written(right)})"
        case ("or", left, right):
            return f"({written(left)} OR {written(right)})"
    raise AssertionError(query)


def is_true(query: Any, event: dict[str, str]) -> bool:
    match query:
        case ("is", key, value):
            return event.get(key) == value
        case ("not", part):
            return not is_true(part, event)
        case ("and", left, right):
            return is_true(left, event) and is_true(right, event)
        case ("or", left, right):
            return is_true(left, event) or is_true(right, event)
    raise AssertionError(query)


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(events=EVENTS, query=QUERIES)
def test_a_query_finds_what_logic_says(store: EventStore, events: list[dict[str, str]], query: Any) -> None:
    for number in range(6):
        store.delete("deployment", str(number))
    store.append_many("deployment", [attributes | {"id": str(number)} for number, attributes in enumerate(events)])
    expected = [str(number) for number, attributes in enumerate(events) if is_true(query, attributes)]
    assert found(store, written(query)) == expected


@settings(max_examples=examples(100))
@given(st.text(alphabet='ab:()"\\*?- \tANDORT>\x00\ud800ü', max_size=40))
@example("service:\u00a0")
def test_any_text_is_a_query_or_a_query_error(text: str) -> None:
    with suppress(SearchSyntaxError):
        condition(text).prefilter()


def test_a_search_that_takes_too_long_is_ended_and_the_store_goes_on(store: EventStore) -> None:
    fleet(store)
    for query in ("", "service:shop", "-service:shop"):
        with pytest.raises(SearchTooLong):
            store.search("deployment", query=query, seconds=0)
    assert found(store, "service:api") == ["api"]
    tell(store, late={"service": "late", "env": "prod", "version": "1", "finished_at": SECOND})
    with pytest.raises(SearchTooLong):
        store.newest_finished("late", "prod", "1", seconds=0)
    assert found(store, "service:late") == ["late"]

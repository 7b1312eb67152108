"""The HTTP client of the sources, against a server on loopback that has its bad days."""

import logging
import random
import socket
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from dora_pipeline.config import secret
from dora_pipeline.errors import ConfigError, DoraError, SourceRejected, SourceUnavailable
from dora_pipeline.sources.http import DatadogKeys, HttpClient, NotFound, PagerDutyToken, Refused
from dora_pipeline_tests.certificates import issued
from dora_pipeline_tests.vendors.clocks import Clock
from dora_pipeline_tests.vendors.server import (
    FakeVendor,
    Fault,
    Reply,
    broken_gzip,
    cut,
    cut_chunks,
    drip,
    echo,
    flood,
    hang_up,
    html,
    packed,
    redirect,
    refused,
    told,
)

TOKEN = "u+planted/Token=0815"


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor() as vendor:
        vendor.route("GET", "/things", lambda asked: Reply({"things": [1, 2, 3]}))
        vendor.route("POST", "/search", lambda asked: Reply({"things": [asked.body["from"]]}))
        yield vendor


class Caller:
    """A client with its clock and its notes."""

    def __init__(self, url: str, clock: Clock, **options: Any) -> None:
        self.clock = clock
        self.notes: list[str] = []
        self.client = HttpClient(
            "pagerduty",
            url,
            PagerDutyToken(TOKEN),
            secrets=[TOKEN],
            note=self.notes.append,
            sleep=clock.sleep,
            clock=clock,
            **options,
        )

    def things(self, **params: Any) -> Any:
        return self.client.get("/things", params, check=_trouble)


def _trouble(answer: Any) -> str | None:
    return None if isinstance(answer, dict) and "things" in answer else "no things"


@pytest.fixture
def call(vendor: FakeVendor) -> Iterator[Callable[..., Caller]]:
    callers: list[Caller] = []

    def make(url: str | None = None, clock: Clock | None = None, **options: Any) -> Caller:
        callers.append(Caller(url or vendor.url, clock or Clock(), **options))
        return callers[-1]

    yield make
    for caller in callers:
        caller.client.close()


def chain(error: BaseException) -> str:
    """Every text that an error and those behind it show."""
    texts: list[str] = []
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            texts += [str(found), repr(found), repr(found.args), repr(vars(found))]
            waiting += [found.__cause__, found.__context__]
    return "\n".join(texts)


def test_the_answer_is_the_json_and_the_request_names_the_product_and_its_version(
    vendor: FakeVendor, call: Callable[..., Caller]
) -> None:
    assert call().things(**{"ids[]": ["A", "B"], "limit": 3}) == {"things": [1, 2, 3]}
    asked = vendor.asked[0]
    assert asked.query == {"ids[]": ["A", "B"], "limit": ["3"]}
    assert asked.headers["authorization"] == f"Token token={TOKEN}"
    assert asked.headers["user-agent"] == f"dora-pipeline/{metadata.version('dora-pipeline')}"


def test_an_address_with_a_path_is_the_root_of_all_requests(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.route("GET", "/proxy/v2/things", lambda asked: Reply({"things": []}))
    assert call(vendor.url + "/proxy/v2/").things() == {"things": []}


def test_a_compressed_answer_is_unpacked(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(packed)
    assert call().things() == {"things": [1, 2, 3]}


PASSING: dict[str, Fault] = {
    "408": refused(408),
    "500": refused(500),
    "502": refused(502, b"Bad Gateway"),
    "503": refused(503),
    "504": refused(504),
    "cut": cut,
    "cut_chunks": cut_chunks,
    "broken_gzip": broken_gzip,
    "html": html,
    "hang_up": hang_up,
    "envelope": refused(200, {"error": "busy"}),
    "empty": refused(200, b""),
    "bytes": refused(200, b"\xff{"),
}
TELLING: dict[str, list[Fault]] = {
    "400": [echo(400)],
    "401": [echo(401)],
    "404": [refused(404, TOKEN.encode() * 50)],
    "429": [echo(429)] * 6,
    "503": [echo(503)] * 6,
    "redirect": [redirect(f"https://{TOKEN}@{TOKEN}/?t={TOKEN}")],
    "hang_up": [hang_up] * 6,
    "cut": [cut] * 6,
    "html": [html] * 6,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_asked_again(vendor: FakeVendor, call: Callable[..., Caller], fault: Fault) -> None:
    vendor.spoil(fault, fault)
    caller = call()
    assert caller.things() == {"things": [1, 2, 3]}
    assert len(vendor.asked) == 3
    first, second = caller.clock.slept
    assert 0 <= first <= 1
    assert 0 <= second <= 2


def test_a_post_that_reads_is_sent_again_with_its_body(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(refused(503))
    assert call().client.post("/search", {"from": 7}, check=_trouble) == {"things": [7]}
    assert [asked.body for asked in vendor.asked] == [{"from": 7}, {"from": 7}]


def test_attempts_end_and_the_message_says_where_why_and_how_often(
    vendor: FakeVendor, call: Callable[..., Caller]
) -> None:
    vendor.spoil(*[refused(503, {"error": {"message": "Maintenance"}})] * 6)
    with pytest.raises(
        SourceUnavailable, match=r"pagerduty: GET http://127.0.0.1:\d+/things: HTTP 503: Maintenance, tried 6 times"
    ):
        call().things()
    assert len(vendor.asked) == 6


def test_a_server_that_is_not_there_is_unavailable(call: Callable[..., Caller]) -> None:
    with FakeVendor() as gone:
        url = gone.url
    with pytest.raises(SourceUnavailable, match=r"no connection \(Connection refused\)"):
        call(url).things()


def test_a_server_that_says_nothing_is_unavailable_after_the_timeout(call: Callable[..., Caller]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(SourceUnavailable, match="nothing came for 0 s, tried 2 times"):
            call(f"http://127.0.0.1:{port}", timeout=(1, 0.05), attempts=2).things()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "30"}, 30),
        ({"ratelimit_limit": "960", "ratelimit_remaining": "0", "ratelimit_reset": "42"}, 42),
        ({"ratelimit_reset": "42"}, 42),
        ({"X_RateLimit_Limit": "300", "X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "17"}, 17),
    ],
    ids=["retry_after", "reset", "reset_alone", "x_reset"],
)
def test_a_429_is_waited_out_as_the_server_asks(
    vendor: FakeVendor, call: Callable[..., Caller], headers: dict[str, str], seconds: int
) -> None:
    vendor.spoil(refused(429, {"error": {"message": "Rate Limit Exceeded", "code": 2020}}, **headers))
    caller = call()
    caller.things()
    assert seconds <= sum(caller.clock.slept) <= seconds + 1
    assert caller.notes == [f"pagerduty: waits {caller.clock.slept[0]:.0f} s (HTTP 429: Rate Limit Exceeded)"]


def test_a_retry_after_that_is_a_date_is_counted_from_the_servers_own_date(
    vendor: FakeVendor, call: Callable[..., Caller]
) -> None:
    # The server's clock is a day behind ours.
    there = time.time() - 86_400
    vendor.spoil(refused(429, Date=formatdate(there, usegmt=True), Retry_After=formatdate(there + 40, usegmt=True)))
    caller = call()
    caller.things()
    assert 40 <= sum(caller.clock.slept) <= 41


@pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds"])
def test_a_reset_that_is_an_epoch_is_recognised(vendor: FakeVendor, call: Callable[..., Caller], unit: int) -> None:
    there = 1_700_000_000
    vendor.spoil(
        refused(
            429,
            Date=formatdate(there, usegmt=True),
            x_ratelimit_remaining="0",
            x_ratelimit_reset=str((there + 25) * unit),
        )
    )
    caller = call()
    caller.things()
    assert 25 <= sum(caller.clock.slept) <= 26


def test_a_429_without_any_hint_is_waited_out_longer_than_other_faults(
    vendor: FakeVendor, call: Callable[..., Caller]
) -> None:
    random.seed(7)
    vendor.spoil(*[refused(429)] * 5)
    caller = call()
    caller.things()
    for slept, most in zip(caller.clock.slept, [15, 30, 60, 120, 240], strict=True):
        assert 0 <= slept <= most
    assert sum(caller.clock.slept) > 1 + 2 + 4 + 8 + 16


def test_a_hint_beyond_the_cap_is_cut_at_the_cap(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(refused(503, Retry_After="1000"))
    caller = call()
    caller.things()
    assert 300 <= sum(caller.clock.slept) <= 301


def test_a_hint_beyond_the_end_of_the_run_ends_it_at_once(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(refused(429, Retry_After="21600"))
    caller = call()
    with pytest.raises(SourceUnavailable, match="the wait of 21600 s that it asks for is more than this run has left"):
        caller.things()
    assert caller.clock.slept == []


def test_a_daily_quota_that_is_used_up_is_not_asked_again(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(
        refused(
            429,
            {"error": {"message": "Rate Limit Exceeded", "code": 2020}},
            daily_ratelimit_limit="10",
            daily_ratelimit_remaining="-273",
            daily_ratelimit_reset="49015",
            ratelimit_remaining="900",
            ratelimit_reset="20",
        )
    )
    with pytest.raises(SourceUnavailable, match="49015 s"):
        call().things()
    assert len(vendor.asked) == 1


@pytest.mark.parametrize("remaining", ["0", "19"])
def test_the_client_slows_down_before_the_limit_is_hit(
    vendor: FakeVendor, call: Callable[..., Caller], remaining: str
) -> None:
    vendor.spoil(told(ratelimit_limit="960", ratelimit_remaining=remaining, ratelimit_reset="33"))
    caller = call()
    caller.things()
    assert caller.clock.slept == []
    caller.things()
    assert caller.clock.slept == [33]
    caller.things()
    assert caller.clock.slept == [33]


def test_a_limit_that_is_far_away_slows_nothing_down(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(told(ratelimit_limit="960", ratelimit_remaining="20", ratelimit_reset="33"))
    caller = call()
    caller.things()
    caller.things()
    assert caller.clock.slept == []


def test_the_run_ends_at_its_deadline_and_says_how_far_it_came(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    caller = call(deadline_seconds=100)
    caller.things()
    caller.things()
    caller.clock.now = 100
    with pytest.raises(SourceUnavailable, match="the 100 s that a run may take are over after 2 answers"):
        caller.things()
    assert len(vendor.asked) == 2


def test_a_slow_drip_ends_at_the_deadline(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(drip)
    caller = call(clock=Clock(seconds_a_look=10), deadline_seconds=200)
    with pytest.raises(SourceUnavailable, match="still coming in: the 200 s that a run may take are over"):
        caller.things()
    assert len(vendor.asked) == 1


def test_the_time_until_the_deadline_can_start_anew(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    caller = call(deadline_seconds=100)
    caller.clock.now = 99
    caller.client.renew()
    caller.clock.now = 198
    assert caller.things() == {"things": [1, 2, 3]}
    caller.clock.now = 199
    with pytest.raises(SourceUnavailable, match="are over after 1 answers"):
        caller.things()


def test_a_client_may_take_other_refusals_as_passing_and_end_with_its_own_advice(
    vendor: FakeVendor, call: Callable[..., Caller]
) -> None:
    vendor.spoil(refused(404), None, *[refused(404)] * 2)
    caller = call(passing=(404, 429), attempts=2, consequence="send it again")
    assert caller.things() == {"things": [1, 2, 3]}
    with pytest.raises(SourceUnavailable, match=r"HTTP 404: no reason given, tried 2 times; send it again$"):
        caller.things()
    vendor.spoil(refused(408))
    with pytest.raises(Refused, match="HTTP 408"):
        caller.things()


def test_a_named_authority_is_trusted_in_place_of_that_of_the_environment(
    call: Callable[..., Caller], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = (issued(tmp_path / name, "127.0.0.1") for name in ("ours", "other"))
    with FakeVendor(tls=ours.context) as vendor:
        vendor.route("GET", "/things", lambda asked: Reply({"things": []}))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.authority))
        assert call(vendor.url, authority=str(ours.authority)).things() == {"things": []}
        with pytest.raises(SourceRejected, match=r"not trusted .*; name your authority in REQUESTS_CA_BUNDLE"):
            call(vendor.url).things()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ours.authority))
        assert call(vendor.url).things() == {"things": []}
        with pytest.raises(SourceRejected, match=f"not trusted .*; see {other.authority}"):
            call(vendor.url, authority=str(other.authority)).things()
    assert len(vendor.asked) == 2


def test_an_answer_beyond_the_largest_size_is_refused(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(flood)
    with pytest.raises(SourceRejected, match="larger than 64 MiB"):
        call().things()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "Wrong", "code": 2001, "errors": ["Since is bad.", "Until too."]}},
         "Wrong; Since is bad.; Until too."),
        ({"error": {"message": "Invalid Input", "errors": "Since is bad."}}, "Invalid Input; Since is bad."),
        ({"error": ["Since is bad.", "Until too."]}, "Since is bad.; Until too."),
        ({"error": "Since is bad."}, "Since is bad."),
        ({"errors": ["Forbidden"]}, "Forbidden"),
        ({"errors": [{"status": "403", "title": "Forbidden", "detail": "no scope"}]}, "no scope; Forbidden"),
        ({}, "no reason given"),
        (b"", "no reason given"),
        (b"Retry later", "Retry later"),
        (b"<html><body>" + b"x" * 5000, "an HTML page"),
        ([[]], "no reason given"),
    ],
    ids=["object", "text_inside", "list", "text", "errors", "json_api", "missing", "empty", "plain", "html", "odd"],
)  # fmt: skip
def test_a_refusal_says_what_the_vendor_said(
    vendor: FakeVendor, call: Callable[..., Caller], body: Any, said: str
) -> None:
    vendor.spoil(refused(400, body))
    with pytest.raises(Refused) as caught:
        call().things()
    assert str(caught.value).endswith(f"/things: HTTP 400: {said}")
    assert len(vendor.asked) == 1


def test_a_refusal_keeps_status_and_code_and_names_what_to_check(
    vendor: FakeVendor, call: Callable[..., Caller]
) -> None:
    vendor.spoil(refused(403, {"error": {"message": "Access Denied", "code": 2010}}))
    with pytest.raises(Refused, match="HTTP 403: Access Denied; check the scope incident_read") as caught:
        call(advice={403: "check the scope incident_read"}).things()
    assert (caught.value.status, caught.value.code) == (403, 2010)


def test_a_404_is_told_apart(call: Callable[..., Caller]) -> None:
    with pytest.raises(NotFound):
        call().client.get("/nothing", check=_trouble)


def test_a_redirect_is_refused_and_its_host_gets_neither_request_nor_secret(
    vendor: FakeVendor, call: Callable[..., Caller]
) -> None:
    with FakeVendor() as elsewhere:
        vendor.spoil(redirect(f"{elsewhere.url}/things?token={TOKEN}"))
        with pytest.raises(SourceRejected, match=r"HTTP 302 sends us to 127\.0\.0\.1; ") as caught:
            call().things()
    assert elsewhere.asked == []
    assert "?" not in str(caught.value)
    assert len(vendor.asked) == 1


def test_a_redirect_to_nowhere_is_refused_all_the_same(vendor: FakeVendor, call: Callable[..., Caller]) -> None:
    vendor.spoil(redirect("http://[::1"))
    with pytest.raises(SourceRejected, match="HTTP 302 sends us to an unreadable address"):
        call().things()


def test_netrc_does_not_take_the_place_of_the_secret(
    vendor: FakeVendor, call: Callable[..., Caller], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    call().things()
    assert vendor.asked[0].headers["authorization"] == f"Token token={TOKEN}"


def test_datadog_keys_are_two_headers_and_netrc_adds_none(
    vendor: FakeVendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client = HttpClient("datadog_incidents", vendor.url, DatadogKeys("K1", "K2"), secrets=["K1", "K2"], note=print)
    client.get("/things", check=_trouble)
    client.close()
    headers = vendor.asked[0].headers
    assert (headers["dd-api-key"], headers["dd-application-key"]) == ("K1", "K2")
    assert "authorization" not in headers


def test_a_proxy_of_the_environment_is_used(
    vendor: FakeVendor, call: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", vendor.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    vendor.route("GET", "/things", lambda asked: Reply({"things": []}))
    assert call("http://api.example.invalid").things() == {"things": [1, 2, 3]}


def test_a_proxy_that_is_not_there_is_told_without_its_password(
    call: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with FakeVendor() as gone:
        monkeypatch.setenv("http_proxy", gone.url.replace("://", "://somebody:planted@"))
    with pytest.raises(SourceUnavailable, match="the proxy that the environment names does not let us") as caught:
        call("http://api.example.invalid").things()
    assert "planted" not in chain(caught.value) + caplog.text


@pytest.mark.parametrize("faults", TELLING.values(), ids=TELLING)
def test_a_secret_is_in_no_log_no_note_and_no_error(
    vendor: FakeVendor, call: Callable[..., Caller], caplog: pytest.LogCaptureFixture, faults: list[Fault]
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.spoil(*faults)
    caller = call()
    with pytest.raises(DoraError) as caught:
        caller.things(note=1)
    told_to_us = chain(caught.value) + caplog.text + "".join(caller.notes)
    assert "/things" in told_to_us
    for spelling in (TOKEN, "u%2Bplanted%2FToken%3D0815", "planted"):
        assert spelling not in told_to_us


def test_header_lines_that_cannot_be_read_are_not_logged(
    vendor: FakeVendor, call: Callable[..., Caller], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.spoil(told(X_Trace=f"1\r\n{TOKEN} without a colon"))
    assert call().things() == {"things": [1, 2, 3]}
    assert "/things" in caplog.text
    assert "planted" not in caplog.text


def test_a_secret_that_cannot_be_sent_is_not_shown(vendor: FakeVendor) -> None:
    client = HttpClient("pagerduty", vendor.url, PagerDutyToken("plan\nted"), secrets=["plan\nted"], note=print)
    with pytest.raises(SourceRejected, match="a secret is malformed") as caught:
        client.get("/things", check=_trouble)
    client.close()
    assert "plan" not in chain(caught.value)
    assert vendor.asked == []


def test_an_address_that_is_none_is_a_mistake_of_the_settings() -> None:
    for address in ("api.pagerduty.com", "ftp://api.pagerduty.com", "https://", "https://[::1", "https://u:pw@"):
        with pytest.raises(ConfigError, match="must be written as https://host") as caught:
            HttpClient("pagerduty", address, PagerDutyToken(TOKEN), secrets=[TOKEN], note=print)
        assert "pw" not in str(caught.value)


def test_a_missing_secret_is_named_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_APP_KEY", "  ")
    with pytest.raises(ConfigError, match="datadog_incidents: the environment variable DD_APP_KEY is not set"):
        secret("DD_APP_KEY", "datadog_incidents")


def test_a_secret_that_no_header_can_hold_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_APP_KEY", "plan\nted")
    with pytest.raises(ConfigError, match="DD_APP_KEY holds a space") as caught:
        secret("DD_APP_KEY", "datadog_incidents")
    assert "ted" not in str(caught.value)


def test_a_secret_is_read_without_the_line_break_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_APP_KEY", "planted\n")
    assert secret("DD_APP_KEY", "datadog_incidents") == "planted"

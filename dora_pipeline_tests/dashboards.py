"""The dashboard of a home on loopback, in a thread of the test, and what a browser gets of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import uvicorn

from dora_pipeline.config import Home
from dora_pipeline.dashboard.app import dashboard_app
from dora_pipeline.listening import address_of, listening_socket
from dora_pipeline_tests.report_pages import Element, page
from dora_pipeline_tests.waiting import PATIENCE


class Client:
    """Asks a dashboard."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._session = requests.Session()

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """The answer to any request."""
        return self._session.request(method, self.address + path, timeout=PATIENCE, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """The answer to a GET."""
        return self.request("GET", path, **options)

    def page(self, **question: str) -> Element:
        """The page of a question; `from_` stands for `from`."""
        answer = self.get("/", params={name.rstrip("_"): value for name, value in question.items()})
        assert answer.status_code == 200, answer.text
        return page(answer.text)


@contextmanager
def running_dashboard(home: Home) -> Iterator[Client]:
    """A dashboard for as long as the block lasts."""
    listening = listening_socket("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(dashboard_app(home), log_level="critical", access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Client(f"http://{address_of(listening)}")
    finally:
        server.should_exit = True
        thread.join()


def card(root: Element, title: str) -> tuple[float | None, str]:
    """The exact figure of a card, None for no data, and its whole text."""
    (found,) = (item for item in root.all("article") if item.all("h3")[0].text == title)
    value = found.all("data")
    return float(value[0].attributes["value"]) if value else None, found.text

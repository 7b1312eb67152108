"""Stores that are lost, set back and left for others at random: every event that a run could read stays."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.full_homes import rebuilt
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.test_changed_stores import DEPLOYMENTS, SqliteStores

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 4), st.sampled_from("12")),
        st.sampled_from([("lose",), ("copy",), ("set_back",), ("use", "first"), ("use", "other"), ("run",)]),
    ),
    max_size=14,
)


class Model:
    """What must be known, by hand: versions by service, of each store, of each copy, and of what runs have read."""

    def __init__(self) -> None:
        self.now = 0
        self.name = "first"
        self.stores: dict[str, dict[str, tuple[int, str]]] = {"first": {}, "other": {}}
        self.copy: dict[str, tuple[int, str]] | None = None
        self.read: dict[str, tuple[int, str]] = {}

    @property
    def store(self) -> dict[str, tuple[int, str]]:
        """The store that is used: time and value of the newest telling that changed something."""
        return self.stores[self.name]

    def tell(self, service: str, version: str) -> None:
        """A telling; one that says the same again changes nothing."""
        self.now += 1
        if self.store.get(service, (0, ""))[1] != version:
            self.store[service] = (self.now, version)

    def run(self) -> list[tuple[str, str]]:
        """What core must hold after a run: of everything that was ever read, the newest."""
        for service, told in self.store.items():
            self.read[service] = max(told, self.read.get(service, told))
        return sorted((service, version) for service, (_, version) in self.read.items())


@settings(max_examples=examples(4), deadline=None)
@given(steps=STEPS)
def test_whatever_happens_to_stores_every_event_that_a_run_could_read_is_in_core(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        home, model = TestHome(Path(folder) / "home"), Model()
        stores = SqliteStores(home, monkeypatch)
        home.select_events()
        for step, *told in [*steps, ("run",)]:
            if step == "send":
                model.tell(f"service-{told[0]}", told[1])
                at = f"2024-05-06 0{told[0]}:00:00"
                received = f"2024-05-07 00:{model.now:02}:00"
                home.deploy(f"service-{told[0]}", at, version=told[1], id=f"d{told[0]}", received=received)
            elif step == "use":
                model.name = told[0]
                stores.use(told[0])
            elif step == "run":
                home.run()
                assert home.rows(DEPLOYMENTS) == model.run()
            elif step == "lose" and model.store:
                model.store.clear()
                stores.lose()
            elif step == "copy" and model.store:
                model.copy = dict(model.store)
                stores.copy()
            elif step == "set_back" and model.copy is not None:
                model.stores[model.name] = dict(model.copy)
                stores.set_back()
        tables = home.tables()
        assert rebuilt(home) == tables

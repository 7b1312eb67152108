"""SQL at any time: readers, runs, a rebuild and the intake at once."""

from pathlib import Path

import pytest

from dora_pipeline.config import Home
from dora_pipeline.demo import prepare_demo
from dora_pipeline.pipeline.progress import Silence
from dora_pipeline.pipeline.runs import run
from dora_pipeline_tests.busy_homes import read_while_busy


@pytest.mark.slow
def test_ten_readers_see_whole_states_while_everything_else_goes_on(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    prepare_demo(home, Silence(), first_year=2025)
    run(home)
    # A month, a rebuild and what changed in between, and two runs that find many events.
    seen, work = read_while_busy(home, lambda work: work.runs >= 4 and work.later_runs >= 2)
    assert work.errors == []
    assert [reader.errors for reader in seen] == [[]] * 10
    assert [reader.differences for reader in seen] == [0] * 10
    holding, *reopening = seen
    assert holding.states == 1
    assert all(reader.states > 1 for reader in reopening)

"""The files of docs/production: what they name is there, and an image made by them can start."""

import re
import shutil
from pathlib import Path

import pytest

from dora_pipeline.intake.web.crowding import MOST_CONNECTIONS, RESERVED_FILES
from dora_pipeline_tests.command import process
from dora_pipeline_tests.repository import tracked_files

PROJECT = Path(__file__).parents[1]
DOCKERFILE = PROJECT / "docs" / "production" / "Dockerfile"


@pytest.mark.slow
def test_what_the_image_holds_is_enough_to_prepare_dagster_and_to_load_the_demo(tmp_path: Path) -> None:
    image = tmp_path / "image"
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE):
        for name in sources.split():
            source = PROJECT / name
            copy = image / target
            for path in tracked_files(source):
                to = copy / path.relative_to(source) if source.is_dir() else copy / path.name
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to, follow_symlinks=False)
    home = tmp_path / "home"
    inside = ["env", "--chdir", str(image), f"PYTHONPATH={image}"]
    for command in (["dev", "--prepare"], ["demo"]):
        answer = process(home, *command, before=inside)
        assert answer.code == 0, answer.err
    assert (home / "dagster" / "dagster.yaml").exists()


def test_units_and_containers_leave_room_for_the_connections_of_the_intake() -> None:
    needed = MOST_CONNECTIONS + RESERVED_FILES
    folder = DOCKERFILE.parent
    units = [unit.read_text(encoding="utf-8") for unit in folder.glob("*.service")]
    limits = [int(limit) for unit in units for limit in re.findall(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)]
    limits += [
        int(limit) for limit in re.findall(r"nofile: (\d+)", (folder / "compose.yaml").read_text(encoding="utf-8"))
    ]
    assert len(limits) == len(units) + 1
    assert min(limits) >= needed

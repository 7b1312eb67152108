"""The files of docs/production: what they name is there, and an image made by them can start."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
DOCKERFILE = PROJECT / "docs" / "production" / "Dockerfile"


def test_what_the_image_holds_is_enough_to_prepare_dagster_and_to_load_the_demo(tmp_path: Path) -> None:
    image = tmp_path / "image"
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE):
        for name in sources.split():
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, image / target, symlinks=True)
            else:
                image.mkdir(exist_ok=True)
                shutil.copy(source, image / target)
    home = tmp_path / "home"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"},
        "PYTHONPATH": str(image),
        "DORA_HOME": str(home),
    }
    for command in (["dev", "--prepare"], ["demo"]):
        told = subprocess.run(
            [sys.executable, "-m", "dora_pipeline.cli", *command],
            cwd=image,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert told.returncode == 0, told.stderr
    assert (home / "dagster" / "dagster.yaml").exists()

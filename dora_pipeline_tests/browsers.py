"""Debian's Chromium, driven by tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def running_chromium(folder: Path, width: int, height: int, **options: Any) -> Iterator[BrowserContext]:
    """A browser that keeps what it keeps in the folder, for as long as the block lasts."""
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is needed: apt-get install chromium"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=chromium, args=_FLAGS, viewport={"width": width, "height": height}, **options
        )
        yield context
        context.close()

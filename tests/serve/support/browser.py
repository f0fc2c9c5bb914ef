"""A real Chromium, and tabs in it that notice what a page must never do."""

import base64
import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK = (1280, 860)
PHONE = (390, 844)
PATIENCE_MS = 30_000
"""Only a page that is wrong, or a machine that is very busy, uses it up."""

_DROP = """([zone, files]) => {
  const transfer = new DataTransfer();
  for (const [name, data] of files) {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  for (const kind of ["dragenter", "dragover", "drop"]) {
    zone.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
  }
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; without one the test is skipped, or fails where CI must have it."""
    if CHROMIUM is None:
        reason = "needs Chromium on the PATH to look at the page (apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def tab(browser: Browser, url: str, size: tuple[int, int] = DESK, scheme: str = "light") -> Iterator[Page]:
    """A tab of its own; at its end there was no error in its console, and nobody but `url` was asked."""
    wrong: list[str] = []
    host = urlsplit(url).netloc
    context = browser.new_context(
        base_url=url, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    # A refused request is told by the console whatever the page makes of it.
    page.on(
        "console",
        lambda said: (
            said.type in ("error", "warning")
            and not said.text.startswith("Failed to load resource")
            and wrong.append(f"console: {said.text}")
        ),
    )
    page.on(
        "request",
        lambda asked: (
            urlsplit(asked.url).scheme not in ("data", "blob")
            and urlsplit(asked.url).netloc != host
            and wrong.append(f"asked {asked.url}")
        ),
    )
    yield page
    context.close()
    assert wrong == [], wrong


def drop(page: Page, files: Sequence[tuple[str, bytes]]) -> None:
    """Let go of files over the drop zone, as from a file manager."""
    zone = page.locator(".drop").element_handle()
    page.evaluate(_DROP, [zone, [[name, base64.b64encode(data).decode()] for name, data in files]])


def overflow_px(page: Page) -> int:
    """How far the page can be scrolled sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

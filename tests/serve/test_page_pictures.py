"""What the page does with a photograph itself: zoom, draw a region, and never stand still."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.dgad.methods.surfaces import SIZE
from tests.serve.support.browser import drop, tab
from tests.serve.support.page import Served, bad, good

_FREEZE_MS = 5000
"""A block that anybody calls a freeze; the page's own longest is a small part of it."""
_WATCH = """
  window.longestMs = 0;
  window.numKeys = 0;
  let before = performance.now();
  const look = () => {
    const now = performance.now();
    window.longestMs = Math.max(window.longestMs, now - before);
    before = now;
    requestAnimationFrame(look);
  };
  look();
  window.addEventListener("keydown", () => { window.numKeys += 1; });
"""
_MARKED = (2010, 1213)
"""The one red pixel of the photographs below: x, y."""


def _photograph(width: int, height: int) -> bytes:
    """A JPEG or, of small ones, PNG of grey clouds with one red pixel."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(100, 140, (height // 64, width // 64), dtype=np.uint8))
    image = coarse.resize((width, height), Image.Resampling.BILINEAR).convert("RGB")
    image.putpixel(_MARKED, (255, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _visible(stage: Locator) -> tuple[int, int, int, int]:
    """The part of the photograph that is shown: x, y, width, height in its pixels."""
    x, y, width, height = map(int, (stage.get_attribute("data-visible") or "").split())
    return x, y, width, height


def _shows_red(page: Page) -> bool:
    """Whether the marked pixel can be made out on the screen."""
    shown: bool = page.locator(".stage-photo").evaluate(
        "(c) => { const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        " for (let i = 0; i < data.length; i += 4) if (data[i] > 200 && data[i + 1] < 80) return true;"
        " return false; }"
    )
    return shown


def _pinch(page: Page, x: float, y: float) -> None:
    """Two fingers from 20 px apart to 120."""
    session = page.context.new_cdp_session(page)
    for kind, reach in [("touchStart", 10), ("touchMove", 30), ("touchMove", 60), ("touchEnd", None)]:
        fingers = (
            [] if reach is None else [{"x": x - reach, "y": y, "id": 0}, {"x": x + reach, "y": y, "id": 1}]
        )
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    session.detach()


def test_a_photograph_of_20_megapixels_is_scored_and_zoomed_without_the_page_standing_still(
    browser: Browser, served: Served, tmp_path: Path
):
    served.enrolled("large", [data for _, data in good(3)])
    file = tmp_path / "large.jpg"
    file.write_bytes(_photograph(5472, 3648))
    with tab(browser, served.url) as page:
        page.add_init_script(_WATCH)
        page.goto("/#/d/large")
        expect(page.locator(".drop")).to_be_visible()
        page.evaluate("window.longestMs = 0")
        page.locator("input[type=file]").set_input_files(file)
        for _ in range(5):
            page.keyboard.press("Shift")
        expect(page.locator(".verdict-file")).to_have_text("large.jpg")
        expect(page.locator(".stage-heat[data-drawn]")).to_be_visible()
        stage = page.locator(".stage")
        assert _visible(stage) == (0, 0, 5472, 3648)

        left, top, wide, high = stage.evaluate(
            "(e) => { const {left, top} = e.getBoundingClientRect();"
            " return [left + e.clientLeft, top + e.clientTop, e.clientWidth, e.clientHeight]; }"
        )
        scale = min(wide / 5472, high / 3648)
        page.mouse.move(
            left + wide / 2 + (_MARKED[0] - 5472 / 2) * scale,
            top + high / 2 + (_MARKED[1] - 3648 / 2) * scale,
        )
        width = 5472
        while width > 100:
            before = stage.get_attribute("data-visible") or ""
            page.mouse.wheel(0, -200)
            expect(stage).not_to_have_attribute("data-visible", before)
            x, y, width, height = _visible(stage)
            assert x <= _MARKED[0] < x + width
            assert y <= _MARKED[1] < y + height
        # What is drawn of it now has its own pixels.
        sharp = re.compile(r"^\d+ \d+ [1-8]?\d\d ")
        expect(page.locator(".stage-photo")).to_have_attribute("data-part", sharp)
        assert _shows_red(page)
        assert page.evaluate("window.longestMs") < _FREEZE_MS
        assert page.evaluate("window.numKeys") == 5


def test_a_photograph_is_zoomed_and_moved_by_keys_buttons_and_fingers(browser: Browser, served: Served):
    served.enrolled("near", [data for _, data in good(3)])
    with tab(browser, served.url) as page:
        page.goto("/#/d/near")
        drop(page, good(1, seed=4))
        stage = page.get_by_role("application", name="good 0.png")
        expect(stage).to_have_attribute("data-visible", "0 0 128 64")

        def after(act: Callable[[], None]) -> tuple[int, int, int, int]:
            before = stage.get_attribute("data-visible") or ""
            act()
            expect(stage).not_to_have_attribute("data-visible", before)
            return _visible(stage)

        stage.focus()
        closer = after(lambda: page.keyboard.press("+"))
        assert closer[2] < 128
        assert closer[3] < 64
        right = after(lambda: page.keyboard.press("ArrowRight"))
        assert right[0] > closer[0]
        assert right[1] == closer[1]
        down = after(lambda: page.keyboard.press("ArrowDown"))
        assert down[1] > right[1]
        assert down[0] == right[0]
        assert after(lambda: page.keyboard.press("-")) == (0, 0, 128, 64)
        button = page.get_by_role("button", name="Zoom in", exact=True)
        scale = page.locator(".zoom-scale").inner_text()
        assert after(button.click)[2] < 128
        expect(page.locator(".zoom-scale")).not_to_have_text(scale)
        stage.focus()
        assert after(lambda: page.keyboard.press("0")) == (0, 0, 128, 64)

        box = stage.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        pinched = after(lambda: _pinch(page, x, y))
        assert pinched[2] < 64
        assert pinched[0] > 0
        assert pinched[0] + pinched[2] < 128
        page.mouse.move(x, y)
        page.mouse.down()
        moved = after(lambda: page.mouse.move(x - 60, y, steps=3))
        page.mouse.up()
        assert moved[0] > pinched[0]


def test_a_region_that_is_drawn_is_saved_and_a_defect_outside_of_it_alarms_no_more(
    browser: Browser, served: Served
):
    served.enrolled("partly", [data for _, data in good(8)])
    with tab(browser, served.url) as page:
        page.goto("/#/d/partly")
        drop(page, bad(1))
        expect(page.locator(".verdict")).to_contain_text("Abnormal")
        # The defect of this photograph lies in its right half.
        assert float(page.locator(".box").first.get_attribute("x") or 0) >= SIZE

        page.get_by_role("link", name="Region", exact=True).click()
        # The tab's own stage: until it is there, the one that was left still stands.
        expect(page.get_by_role("button", name="Draw a polygon")).to_be_visible()
        stage = page.locator(".stage[data-visible]")
        stage.scroll_into_view_if_needed()
        box = stage.bounding_box()
        assert box is not None
        scale = min(box["width"] / (2 * SIZE), box["height"] / SIZE)

        def click(x: float, y: float) -> None:
            """At shares of the photograph's width and height, which lies in the middle of its stage."""
            page.mouse.click(
                box["x"] + box["width"] / 2 + (x - 0.5) * 2 * SIZE * scale,
                box["y"] + box["height"] / 2 + (y - 0.5) * SIZE * scale,
            )

        page.get_by_role("button", name="Draw a polygon").click()
        click(0.1, 0.1)
        click(0.3, 0.1)
        page.keyboard.press("Enter")  # two corners are no polygon
        expect(page.get_by_text("at least 3 corners")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".region-corner")).to_have_count(0)
        save = page.get_by_role("button", name="Save the region")
        expect(save).to_be_disabled()

        page.get_by_role("button", name="Draw a polygon").click()
        for corner in [(0.05, 0.05), (0.4, 0.05), (0.6, 0.5), (0.4, 0.95), (0.05, 0.95)]:
            click(*corner)
        expect(page.locator(".region-corner")).to_have_count(5)
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".region-corner")).to_have_count(4)
        stage.focus()
        page.keyboard.press("Enter")
        expect(page.locator(".region-line")).to_have_count(1)
        # The third corner by its number, further to the left: without a pointer.
        page.get_by_text("Corners as numbers").click()
        page.get_by_label("Polygon 1, corner 3, percent from the left").fill("40")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Add a rectangle").click()
        page.get_by_role("button", name="Remove the polygon", exact=True).first.click()
        expect(page.locator(".region-line")).to_have_count(1)
        save.click()
        expect(page.locator(".notice-done")).to_contain_text("The region is saved; version 2")
        (corners,) = served.get("/v1/domains/partly").json()["region"]["polygons"]
        assert np.array(corners) == pytest.approx(
            np.array([(0.05, 0.05), (0.4, 0.05), (0.4, 0.5), (0.4, 0.95)]), abs=0.01
        )

        page.get_by_role("link", name="Score", exact=True).click()
        page.get_by_role("button", name="Score again").click()
        expect(page.locator(".verdict")).to_contain_text("Normal")
        expect(page.locator(".region-line")).to_have_count(1)
        expect(page.locator(".box")).to_have_count(0)
        page.get_by_role("link", name="Region", exact=True).click()
        page.get_by_role("button", name="Remove all").click()
        save.click()
        expect(page.locator(".notice-done").last).to_contain_text("The region is removed; version 3")
        assert served.get("/v1/domains/partly").json()["region"] is None

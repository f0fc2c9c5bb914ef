"""The web page in a real browser against the real service: one bundle, one process."""

import io
import re
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from serve.keys import KeyRing
from tests.dgad.methods.surfaces import SIZE
from tests.serve.support.browser import PHONE, drop, overflow_px, tab
from tests.serve.support.page import Served, bad, good
from tests.serve.support.surfaces import photographs


@pytest.fixture
def keys(served: Served) -> Iterator[KeyRing]:
    """The service asks for a key as long as there is one."""
    ring = KeyRing(str(served.store))
    yield ring
    for key in ring.list():
        ring.revoke(key.name)
    ring.open_to_all()


def cell(page: Page, name: str):
    """A number at the top of a domain's view."""
    return page.locator(".glance > div").filter(has_text=name).locator(".glance-value")


def test_a_new_surface_is_enrolled_and_scored_by_dropping_photographs(browser: Browser, served: Served):
    with tab(browser, served.url) as page:
        page.goto("/")
        page.get_by_role("button", name="New domain").first.click()
        page.get_by_role("dialog").get_by_label("Name").fill("plate")
        page.get_by_role("button", name="Make domain").click()
        expect(page.get_by_role("heading", name="No references yet")).to_be_visible()

        drop(page, good(10))
        expect(page.get_by_text("10 photographs enrolled")).to_be_visible()
        expect(cell(page, "References")).to_have_text("10")
        expect(cell(page, "Threshold")).to_have_text(re.compile(r"\d\.\d"))
        expect(page.locator(".summary .sentence")).to_contain_text("9.1%")
        expect(page.locator(".tile img:not(.is-waiting):not(.is-missing)")).to_have_count(10)

        page.get_by_role("link", name="Score parts").click()
        expect(page.get_by_role("heading", name="Ready to score")).to_be_visible()
        drop(page, [*bad(1), *good(2, seed=9)])
        expect(page.locator(".result")).to_have_count(3)
        expect(page.locator(".verdict")).to_contain_text("Abnormal")
        expect(page.locator(".result .badge")).to_have_text(["Abnormal", re.compile("."), re.compile(".")])
        score, threshold, p_value = page.locator(".verdict-numbers dd").all_text_contents()
        assert float(score) > float(threshold)
        assert float(p_value) == pytest.approx(1 / 11, abs=1e-3)
        expect(page.locator(".detail .sentence")).to_contain_text("9.1%")
        page.get_by_role("link", name="Domains", exact=True).click()
        row = page.get_by_role("link", name=re.compile("plate"))
        expect(row).to_contain_text("10 references")
        expect(row).to_contain_text("false alarms")


def test_the_heatmap_lies_over_the_photograph_as_clearly_as_the_slider_says(browser: Browser, served: Served):
    served.enrolled("heated", [data for _, data in good(10)])
    with tab(browser, served.url) as page:
        page.goto("/#/d/heated")
        drop(page, bad(1))
        heat = page.locator("canvas.stage-heat[data-drawn]")
        expect(heat).to_be_visible()
        clear, solid = heat.evaluate(
            "(c) => { const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
            " const alpha = data.filter((_, i) => i % 4 === 3).sort();"
            " return [alpha[alpha.length >> 4], alpha.at(-1)]; }"
        )
        assert clear < 100 < solid
        photo = page.locator(".stage-photo").bounding_box()
        assert photo is not None
        # Photographs here are twice as wide as high.
        assert photo["width"] == pytest.approx(2 * photo["height"], abs=2)
        assert heat.bounding_box() == pytest.approx(photo, abs=1)

        slider = page.get_by_label("Heatmap", exact=True)
        slider.focus()
        page.keyboard.press("Home")
        assert heat.evaluate("(c) => getComputedStyle(c).opacity") == "0"
        page.keyboard.press("End")
        assert heat.evaluate("(c) => getComputedStyle(c).opacity") == "1"
        expect(page.locator(".opacity output")).to_have_text("100%")

        num_regions = page.locator(".facts-column tbody").first.locator("tr").count()
        assert page.locator(".box").count() == num_regions >= 1
        page.get_by_label("Boxes").uncheck()
        expect(page.locator(".box").first).to_be_hidden()


def test_a_tiff_is_shown_by_the_picture_that_the_service_makes_of_it(browser: Browser, served: Served):
    served.enrolled("scanned", [data for _, data in good(3)])
    tiff = io.BytesIO()
    Image.open(io.BytesIO(bad(1)[0][1])).save(tiff, format="TIFF")
    with tab(browser, served.url) as page:
        page.goto("/#/d/scanned")
        drop(page, [("scan.tif", tiff.getvalue())])
        expect(page.locator(".stage")).to_have_attribute("data-visible", f"0 0 {2 * SIZE} {SIZE}")
        expect(page.locator(".viewer")).to_contain_text("TIFF")


def test_rolling_back_makes_the_next_score_come_from_the_older_version(browser: Browser, served: Served):
    first, second = photographs(6, seed=1), photographs(4, seed=2)
    served.enrolled("rolled", first, second)
    with tab(browser, served.url) as page:
        page.goto("/#/d/rolled/score")
        drop(page, good(1, seed=3))
        expect(page.locator(".facts-column")).to_contain_text("Version 2")
        page.get_by_role("link", name="History").click()
        expect(page.locator(".version")).to_have_count(2)
        expect(page.locator(".version").first).to_contain_text("4 added")
        page.get_by_role("button", name="Roll back to version 1").click()
        page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
        expect(page.locator(".version.is-current")).to_contain_text("Version 1")
        expect(page.locator(".log li").first).to_contain_text("Rolled back")
        expect(cell(page, "References")).to_have_text("6")

        page.get_by_role("link", name="Score", exact=True).click()
        expect(page.locator(".detail")).to_contain_text("version 1 is current now")
        page.get_by_role("button", name="Score again").click()
        expect(page.locator(".facts-column")).to_contain_text("Version 1, compared with 6 references")


def test_errors_are_told_in_a_sentence_that_stays(browser: Browser, served: Served):
    served.enrolled("broken", [data for _, data in good(3)])
    with tab(browser, served.url) as page:
        page.goto("/#/d/broken/references")
        drop(page, [*good(1, seed=4), ("torn.png", b"\x89PNG\r\n\x1a\n torn")])
        trouble = page.locator(".outcome-bad")
        expect(trouble).to_contain_text("Nothing was enrolled")
        expect(trouble).to_contain_text("torn.png")
        assert served.get("/v1/domains/broken/versions").json()["current"] == 1
        drop(page, [("notes.txt", b"not a photograph")])
        expect(page.locator(".notice-error")).to_contain_text("notes.txt")
        page.get_by_role("button", name="Dismiss").first.click()
        expect(page.locator(".notice-error")).to_have_count(0)

        page.get_by_role("link", name="Score", exact=True).click()
        expect(page.get_by_role("heading", name="Ready to score")).to_be_visible()  # who drops sees where
        drop(page, [*good(1, seed=5), ("torn.png", b"\x89PNG\r\n\x1a\n torn")])
        expect(page.locator(".result", has_text="good 0.png").locator(".badge")).to_be_visible()
        expect(page.locator(".result", has_text="torn.png")).to_contain_text("Failed")
        expect(page.locator("#alarm")).to_contain_text("torn.png")
        page.goto("/#/d/nowhere")
        expect(page.locator(".state-error")).to_contain_text("nowhere")
        # The error of the view before is still there.
        expect(page.locator(".notice-error")).to_contain_text("torn.png")


def test_a_busy_service_is_asked_again_with_the_same_idempotency_key(browser: Browser, served: Served):
    served.enrolled("busy")
    keys: list[str] = []
    with tab(browser, served.url) as page:

        def refuse_twice(route: Route) -> None:
            if route.request.method == "POST":
                keys.append(route.request.headers["idempotency-key"])
                if len(keys) < 3:
                    status = 429 if len(keys) == 1 else 503
                    route.fulfill(status=status, headers={"Retry-After": "0"}, json={"error": {}})
                    return
            route.continue_()

        page.route("**/references", refuse_twice)
        page.goto("/#/d/busy")
        drop(page, good(2))
        expect(page.get_by_text("2 photographs enrolled")).to_be_visible()
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(browser: Browser, served: Served, keys: KeyRing):
    reading, writing = keys.create("line", "read"), keys.create("lead", "write")
    with tab(browser, served.url) as page:
        page.goto("/")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Key").fill("dgad_wrong")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("does not accept the key")
        dialog.get_by_label("Key").fill(reading)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="API key: in use")).to_be_visible()

        def make(name: str) -> None:
            page.get_by_role("button", name="New domain").first.click()
            dialog.get_by_label("Name").fill(name)
            dialog.get_by_role("button", name="Make domain").click()

        make("held")
        expect(dialog.get_by_role("alert")).to_contain_text("may only read")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="API key").click()
        dialog.get_by_role("button", name="Forget the key").click()
        dialog.get_by_label("Key").fill(writing)
        page.keyboard.press("Enter")
        make("held")
        drop(page, good(2))
        expect(page.locator(".tile img:not(.is-waiting):not(.is-missing)")).to_have_count(2)
        assert page.evaluate("sessionStorage.getItem('dgad_api_key')") == writing
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_everything_can_be_done_by_keyboard(browser: Browser, served: Served):
    def tab_to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            named = page.evaluate(
                "(e => e === document.body ? '' : e.getAttribute('aria-label') || e.textContent || e.name)"
                "(document.activeElement)"
            )
            if name in named:
                style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert style != "none", f"the focus on {name!r} cannot be seen"
                return
        raise AssertionError(f"Tab does not reach {name!r}")

    served.enrolled("typed", [data for _, data in good(4)], [data for _, data in good(3, seed=8)])
    with tab(browser, served.url) as page:
        parts = [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in good(2, seed=7)]
        # Listened to from the start: just before the key is pressed, it is now and then too late.
        page.on("filechooser", lambda chooser: chooser.set_files(parts))
        page.goto("/")
        expect(page.locator(".row").first).to_be_visible()
        tab_to("New domain")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_role("button", name="New domain")).to_be_focused()
        tab_to("typed")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="typed")).to_be_focused()
        expect(page.locator(".drop")).to_be_visible()
        tab_to("Choose photographs")
        page.keyboard.press("Enter")
        expect(page.locator(".result .badge")).to_have_count(2)
        tab_to("good 0.png")
        page.keyboard.press("ArrowDown")
        expect(page.locator(".verdict-file")).to_have_text("good 1.png")
        expect(page.locator(".result").nth(1)).to_be_focused()

        page.goto("/#/d/typed/history")
        expect(page.locator(".version")).to_have_count(2)
        tab_to("Roll back to version 1")
        page.keyboard.press("Enter")
        tab_to("Roll back")
        page.keyboard.press("Enter")
        expect(page.locator(".version.is-current")).to_contain_text("Version 1")
        assert served.get("/v1/domains/typed").json()["version"] == 1


def test_references_are_purged_and_a_domain_deleted_only_when_that_is_confirmed(
    browser: Browser, served: Served
):
    served.enrolled("gone", [data for _, data in good(4)])
    with tab(browser, served.url) as page:
        page.goto("/#/d/gone/references")
        dialog = page.get_by_role("dialog")
        page.get_by_role("button", name="Remove good 1.png").click()
        dialog.get_by_text("Purge from every version").click()
        dialog.get_by_role("button", name="Purge").click()
        expect(dialog.get_by_role("alert")).to_contain_text("Tick the box")
        purged = served.get("/v1/domains/gone/references").json()["references"][1]["id"]
        dialog.get_by_label("Delete this photograph for good").check()
        dialog.get_by_role("button", name="Purge").click()
        expect(page.locator(".tile")).to_have_count(3)
        assert served.get(f"/v1/domains/gone/references/{purged}").status_code == 404

        page.get_by_role("link", name="Settings").click()
        page.get_by_role("textbox", name="False-alarm rate").fill("40")
        page.get_by_label("Split").check()
        page.get_by_label("Bit depth").fill("12")
        page.get_by_role("textbox", name="Scale").fill("fit 64")
        page.get_by_label("Note").fill("Second shift")
        page.get_by_role("button", name="Save settings").click()
        expect(page.locator(".note")).to_have_text("Second shift")
        kept = served.get("/v1/domains/gone").json()["settings"]
        wanted = {
            "false_alarm_rate": 0.4,
            "calibration": "split",
            "coreset": None,
            "note": "Second shift",
            "bit_depth": 12,
            "scale": "fit 64",
        }
        assert {name: kept[name] for name in wanted} == wanted
        page.get_by_role("button", name="Delete this domain…").click()
        dialog.get_by_role("textbox").fill("gon")
        dialog.get_by_role("button", name="Delete the domain").click()
        expect(dialog.get_by_role("alert")).to_contain_text("exactly")
        dialog.get_by_role("textbox").fill("gone")
        dialog.get_by_role("button", name="Delete the domain").click()
        expect(page.get_by_role("heading", name="Domains")).to_be_visible()
        assert served.get("/v1/domains/gone").status_code == 404


def test_a_phone_shows_every_view_without_scrolling_sideways(browser: Browser, served: Served):
    name = "the-surface-with-the-longest-name-that-anybody-may-give-to-a-domain"[:64]
    served.enrolled(name, [data for _, data in good(4)], [data for _, data in good(2, seed=6)])
    with tab(browser, served.url, PHONE, "dark") as page:
        page.goto("/")
        expect(page.locator(".row").first).to_be_visible()
        assert overflow_px(page) <= 0
        page.get_by_role("button", name="New domain").first.click()
        assert overflow_px(page) <= 0
        page.keyboard.press("Escape")
        for view, shown in [
            ("references", ".tile"),
            ("history", ".version"),
            ("settings", ".panel"),
        ]:
            page.goto(f"/#/d/{name}/{view}")
            expect(page.locator(shown).first).to_be_visible()
            assert overflow_px(page) <= 0, view
        page.goto(f"/#/d/{name}/score")
        drop(page, [*bad(1), *good(1)])
        expect(page.locator(".stage-photo")).to_be_visible()
        assert overflow_px(page) <= 0

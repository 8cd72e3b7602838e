"""A reviewer works with the page in a browser: looks, ticks, reads the estimates, exports, and comes back later."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drawn_audit import draw_audit, make_flagged, make_summary, make_table, to_jpeg
from playwright.sync_api import Page, expect
from report_page import cards, export, import_ticks, key_of, share, tick
from scipy.stats import binomtest

from safe_llava.audit.audit_report import write_report
from tests.chromium import NEEDS_CHROMIUM


pytestmark = NEEDS_CHROMIUM

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NUM_SAMPLES = 8
AWKWARD_KEY = 'passed, "quoted"\nand broken'
FORMULAS = ['=HYPERLINK("http://host")', "+1", "-1+1", "@SUM(A1)", "\t=1", "'=1", "plain"]


@pytest.fixture(scope="module")
def write(tmp_path_factory, make_image) -> Callable[..., Path]:
    """Writes a page about 30 flagged and 8 passed rows; the riskiest are flagged rows."""
    image = to_jpeg(make_image(0))
    rows = [make_flagged(f"flagged-{index}", type_prob_safe=index / 30) for index in range(30)]
    rows += [{"key": AWKWARD_KEY}, *({"key": key} for key in FORMULAS)]
    table = make_table(*rows)

    def write(**changes: str) -> Path:
        path = tmp_path_factory.mktemp("audit") / "report.html"
        summary = make_summary(table, **changes)
        write_report(path, table, summary, lambda keys: dict.fromkeys(keys, image), num_samples=NUM_SAMPLES)
        return path

    return write


@pytest.fixture(scope="module")
def report(write) -> Path:
    return write()


@pytest.fixture(scope="module")
def drawn_report(tmp_path_factory) -> Path:
    """A page with everything on it: long and hostile texts, broken and untrusted rows, groups, drawn images."""
    audit = draw_audit(48)
    path = tmp_path_factory.mktemp("drawn") / "report.html"
    write_report(path, audit.table, audit.summary, audit.read_thumbnails, num_samples=48)
    return path


@pytest.fixture(scope="module")
def tab(browser) -> Page:
    return browser.new_context(viewport=DESKTOP).new_page()


@pytest.fixture
def page(tab, report) -> Iterator[Page]:
    """The page as a reviewer finds it who never ticked anything."""
    tab.goto(report.as_uri())
    yield tab
    tab.evaluate("localStorage.clear()")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_runs_cleanly_and_asks_for_nothing(browser, drawn_report, viewport, scheme):
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(drawn_report.as_uri())
    page.locator("#flagged .image").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert {url for url in requests if not url.startswith("data:")} == {drawn_report.as_uri()}
    assert complaints == []
    assert page.locator(".card script, .card img[src=x]").count() == 0
    context.close()


def test_images_are_blurred_until_clicked_and_blurred_again(page):
    image = page.locator("#riskiest .image").first
    blur = "element => getComputedStyle(element.querySelector('img')).filter"
    assert image.evaluate(blur).startswith("blur")
    image.click()
    assert image.evaluate(blur) == "none"
    image.click()
    assert image.evaluate(blur).startswith("blur")


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_images_are_shown_from_the_keyboard(page, key):
    image = page.locator("#riskiest .image").first
    image.press(key)
    expect(image).to_have_attribute("aria-pressed", "true")


def test_escape_blurs_every_image(page):
    for index in range(2):
        page.locator("#riskiest .image").nth(index).click()
    page.keyboard.press("Escape")
    assert page.locator('.image[aria-pressed="true"]').count() == 0


def test_nothing_is_estimated_before_the_first_tick(page):
    expect(share(page, "flagged")).to_have_text("not known yet")


@pytest.mark.parametrize(
    ("section", "risky", "harmless"), [("flagged", 2, 1), ("flagged", 3, 0), ("passed", 0, 3), ("passed", 1, 4)]
)
def test_ticks_give_the_share_and_its_wilson_interval(page, section, risky, harmless):
    for index in range(risky + harmless):
        tick(page, section, index, "risky" if index < risky else "harmless")
    interval = binomtest(risky, risky + harmless).proportion_ci(0.95, method="wilson")
    expected = f"{risky / (risky + harmless):.1%} ({interval.low:.1%} to {interval.high:.1%})"
    expect(share(page, section)).to_have_text(expected)


def test_the_estimate_is_told_in_rows_too(page):
    tick(page, "flagged", 0, "risky")
    rows = page.locator('.estimate[data-estimate="flagged"] .rows')
    expect(rows).to_have_text(re.compile("Of all 30 flagged rows, about 6 to 30 are risky"))


def test_ticks_on_the_riskiest_samples_alone_change_no_estimate(page):
    in_random_sample = {key_of(card) for card in cards(page, "flagged").all()}
    others = [
        index for index, card in enumerate(cards(page, "riskiest").all()) if key_of(card) not in in_random_sample
    ]
    tick(page, "riskiest", others[0], "risky")
    expect(share(page, "flagged")).to_have_text("not known yet")


def test_a_tick_shows_wherever_its_sample_is_shown(page):
    both = page.locator(".card", has=page.locator("fieldset")).evaluate_all(
        "cards => cards.map(card => card.dataset.key).filter((key, index, keys) => keys.indexOf(key) !== index)"
    )
    boxes = page.locator(f'.card[data-key="{both[0]}"]').get_by_label("risky")
    boxes.first.check()
    expect(boxes.last).to_be_checked()


def test_risky_and_harmless_exclude_each_other(page):
    tick(page, "flagged", 0, "risky")
    tick(page, "flagged", 0, "harmless")
    expect(cards(page, "flagged").first.get_by_label("risky")).not_to_be_checked()


def test_a_tick_can_be_taken_back(page):
    tick(page, "flagged", 0, "risky")
    cards(page, "flagged").first.get_by_label("risky").uncheck()
    expect(share(page, "flagged")).to_have_text("not known yet")


def test_the_page_warns_of_samples_that_were_left_out(page):
    warning = page.locator('.estimate[data-estimate="flagged"] .warning')
    tick(page, "flagged", 2, "risky")
    expect(warning).to_contain_text("2 left out")
    for index in range(2):
        tick(page, "flagged", index, "risky")
    expect(warning).to_be_empty()


def test_ticks_survive_a_reload(page):
    tick(page, "flagged", 0, "risky")
    estimate = share(page, "flagged").text_content()
    page.reload()
    expect(cards(page, "flagged").first.get_by_label("risky")).to_be_checked()
    expect(share(page, "flagged")).to_have_text(estimate)


@pytest.mark.parametrize("changed", ["source", "model_version", "policy_version"])
def test_another_audit_has_ticks_of_its_own(page, write, changed):
    tick(page, "flagged", 0, "risky")
    page.goto(write(**{changed: "another"}).as_uri())
    expect(share(page, "flagged")).to_have_text("not known yet")


def test_the_json_export_holds_ticks_estimates_and_origin(page, tmp_path):
    tick(page, "flagged", 0, "risky")
    content = json.loads(export(page, "JSON", tmp_path).read_text(encoding="utf-8"))
    assert content["ticks"][0] | {"lists": None} == {
        "key": key_of(cards(page, "flagged").first),
        "tick": "risky",
        "lists": None,
        "level": "high",
        "type": "privacy",
        "action": "refuse",
    }
    assert content["estimates"]["precision"]["interval"] == pytest.approx(
        list(binomtest(1, 1).proportion_ci(0.95, method="wilson"))
    )
    assert content["estimates"]["miss_rate"]["interval"] is None
    assert content["sizes"] == {"flagged": 30, "passed": 8}
    assert (content["source"], content["model"]) == ("drawn scenes", "org/safe-llava")
    assert content["model_version"].startswith("3f1c0de")
    assert content["policy_version"].startswith("a1b2c3d4")


def test_the_csv_export_has_a_row_for_each_tick(page, tmp_path):
    index = [key_of(card) for card in cards(page, "passed").all()].index(AWKWARD_KEY)
    tick(page, "flagged", 0, "risky")
    tick(page, "passed", index, "harmless")
    with export(page, "CSV", tmp_path).open(newline="", encoding="utf-8") as file:
        ticks = {row["key"]: row["tick"] for row in csv.DictReader(file)}
    assert ticks == {key_of(cards(page, "flagged").first): "risky", AWKWARD_KEY: "harmless"}


def test_no_cell_of_the_csv_export_is_a_formula_and_keys_survive_it(page, tmp_path):
    keys = [key_of(card) for card in cards(page, "passed").all()]
    for index in range(NUM_SAMPLES):
        tick(page, "passed", index, "harmless")
    path = export(page, "CSV", tmp_path)
    with path.open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
    page.evaluate("localStorage.clear()")
    page.reload()
    assert import_ticks(page, path) == f"{len(keys)} of {len(keys)} ticks in audit-ticks.csv were new."
    for card in cards(page, "passed").all():
        expect(card.get_by_label("harmless")).to_be_checked()


@pytest.mark.parametrize("kind", ["JSON", "CSV"])
def test_exported_ticks_can_be_imported_again(page, tmp_path, kind):
    index = [key_of(card) for card in cards(page, "passed").all()].index(AWKWARD_KEY)
    tick(page, "passed", index, "risky")
    tick(page, "passed", (index + 1) % NUM_SAMPLES, "harmless")
    estimate = share(page, "passed").text_content()
    path = export(page, kind, tmp_path)
    page.evaluate("localStorage.clear()")
    page.reload()
    assert import_ticks(page, path) == f"2 of 2 ticks in audit-ticks.{kind.lower()} were new."
    expect(share(page, "passed")).to_have_text(estimate)


def test_an_import_never_changes_your_own_ticks(page, tmp_path):
    tick(page, "flagged", 0, "risky")
    path = export(page, "JSON", tmp_path)
    tick(page, "flagged", 0, "harmless")
    assert f"1 differ from yours, which stay: {key_of(cards(page, 'flagged').first)}." in import_ticks(page, path)
    expect(cards(page, "flagged").first.get_by_label("harmless")).to_be_checked()


def test_ticks_of_another_source_are_refused(page, write, tmp_path):
    tick(page, "flagged", 0, "risky")
    path = export(page, "JSON", tmp_path)
    page.goto(write(source="other scenes").as_uri())
    assert "was exported from the audit of drawn scenes, and this is other scenes" in import_ticks(page, path)
    expect(share(page, "flagged")).to_have_text("not known yet")


@pytest.mark.parametrize("text", ["", '{"ticks": [{"key": "a", "tick": "maybe"}]}', "key,tick\r\na,b\r\n"])
def test_a_file_without_ticks_is_refused(page, tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    assert import_ticks(page, path).startswith("other.json holds no ticks.")


def test_ticks_are_removed_after_a_question(page):
    tick(page, "flagged", 0, "risky")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove all ticks").click()
    expect(share(page, "flagged")).to_have_text("not known yet")


def test_ticks_stay_where_the_question_is_denied(page):
    tick(page, "flagged", 0, "risky")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Remove all ticks").click()
    expect(cards(page, "flagged").first.get_by_label("risky")).to_be_checked()


def test_a_second_tab_follows_the_first(page, report):
    second = page.context.new_page()
    second.goto(report.as_uri())
    tick(page, "flagged", 0, "risky")
    expect(cards(second, "flagged").first.get_by_label("risky")).to_be_checked()
    second.close()

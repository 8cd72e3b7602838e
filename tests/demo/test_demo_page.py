"""
The page in a real browser, served by a Space as it was written: what visitors see, and that nobody sees another's.

To start it takes seconds, so tests share it; each has a tab of its own.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, WebSocketRoute, expect

from safe_llava.demo.space import write_space
from safe_llava.models.safety_labels import RISK_TYPES
from tests.chromium import NEEDS_CHROMIUM
from tests.page_server import PageServer, find_free_port


PHONE = {"width": 390, "height": 844}

REFUSAL = "No, thanks."
TOO_LONG = "Who is this? " * 500

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def server(demo_checkpoint, tmp_path_factory) -> Iterator[PageServer]:
    folder = tmp_path_factory.mktemp("space")
    policy = tmp_path_factory.mktemp("policy") / "policy.json"
    policy.write_text(json.dumps({"refusals": dict.fromkeys(RISK_TYPES, REFUSAL)}))
    write_space(str(demo_checkpoint), folder, policy=policy, max_new_tokens=len(REFUSAL), dtype="auto")
    port = find_free_port()
    server = PageServer(port, [folder / "app.py"], DEMO_PORT=str(port))
    server.wait()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def image(make_image, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("images") / "image.png"
    make_image(0).save(path)
    return path


@pytest.fixture(scope="module")
def addresses(window) -> list[str]:
    """Where everything went that the pages of all tests asked for."""
    found: list[str] = []
    window.on("request", lambda request: found.append(request.url) if request.url[:5] != "data:" else None)
    window.on("page", lambda page: page.on("websocket", lambda web_socket: found.append(web_socket.url)))
    return found


@pytest.fixture
def page(window, addresses, server) -> Iterator[Page]:
    page = window.new_page()
    page.goto(server.url)
    yield page
    page.close()


def add(page: Page, *paths: Path) -> None:
    page.locator("input[type=file]").set_input_files(paths)


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question", exact=True).fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def ask_about(page: Page, image: Path, question: str = "Who is this?") -> None:
    add(page, image)
    expect(page.get_by_role("button", name="Show chosen image 1")).to_be_visible()
    ask(page, question)
    expect(page.locator(".action")).to_have_text("Answered after a hint")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()


def choose_refuse(page: Page) -> None:
    page.get_by_role("group", name="At level high").get_by_role("button", name="refuse").click()


def test_a_policy_acts_at_once_and_the_next_answer_follows_it(page, image):
    ask_about(page, image)
    expect(page.get_by_text("Hint to the model:")).to_be_visible()
    choose_refuse(page)
    expect(page.locator(".action")).to_have_text("Refused")
    expect(page.get_by_text("The last question is refused.")).to_be_visible()
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".turn .answer.text")).to_have_text(REFUSAL)
    expect(page.get_by_role("button", name="Answer again")).to_be_hidden()


def test_images_and_evidence_are_blurred_until_they_are_clicked(page, image):
    ask_about(page, image)
    page.get_by_role("button", name="Show the evidence").click()
    for name in ("Show image 1", "Show evidence"):
        shown = page.get_by_role("button", name=name, exact=True)
        expect(shown.locator("img")).to_have_css("filter", "blur(28px)")
        assert shown.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") >= 40
        shown.click()
        expect(shown.locator("img")).to_have_css("filter", "none")


def test_what_cannot_be_asked_is_said_in_place_and_nothing_is_lost(page, image, tmp_path):
    alert, question = page.locator("footer [role=alert]"), page.get_by_label("Question", exact=True)
    (tmp_path / "cut-off.png").write_bytes(image.read_bytes()[:-500])
    add(page, tmp_path / "cut-off.png")
    expect(alert).to_contain_text("cut-off.png was not taken: the image cannot be read")
    ask(page, TOO_LONG)
    expect(alert).to_contain_text("This was not asked: The prompt has")
    expect(question).to_have_value(TOO_LONG)
    question.fill("")
    ask(page, "")
    expect(alert).to_contain_text("There is nothing to ask")
    ask_about(page, image)
    expect(alert).to_be_hidden()


def test_over_a_slow_line_what_was_not_asked_can_be_asked_again(window, server, tmp_path):
    def delay(line: WebSocketRoute) -> None:
        upstream = line.connect_to_server()
        line.on_message(lambda message: (time.sleep(0.2), upstream.send(message)))

    page = window.new_page()
    page.route_web_socket(re.compile("socket.io"), delay)
    page.goto(server.url)
    # Large, so that the page has heard of the question's going before the question is refused.
    Image.new("RGB", (4000, 4000)).save(tmp_path / "large.png")
    add(page, tmp_path / "large.png")
    expect(page.get_by_role("button", name="Show chosen image 1")).to_be_visible()
    alert = page.locator("footer [role=alert]")
    ask(page, TOO_LONG)
    expect(alert).to_contain_text("This was not asked: The prompt has")
    page.wait_for_timeout(1000)
    expect(page.get_by_label("Question", exact=True)).to_have_value(TOO_LONG)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_timeout(1000)
    expect(alert).to_contain_text("This was not asked: The prompt has")
    page.close()


def test_a_reload_keeps_a_chat_and_its_policy_and_no_other_tab_sees_them(page, window, server, image):
    ask_about(page, image)
    choose_refuse(page)
    expect(page.locator(".action")).to_have_text("Refused")
    answer = page.locator(".turn .answer.text").inner_text()
    page.reload()
    expect(page.locator(".action")).to_have_text("Refused")
    expect(page.locator(".turn .answer.text")).to_have_text(answer)
    other = window.new_page()
    other.goto(server.url)
    expect(other.get_by_text("Add an image and ask about it.")).to_be_visible()
    expect(other.get_by_role("group", name="At level high").locator("[aria-pressed=true]")).to_have_text("hint")
    assert other.locator(".turn").count() == 0
    other.close()


def test_on_a_phone_nothing_is_wider_and_the_policy_stands_beside_what_it_does(page, image):
    page.set_viewport_size(PHONE)
    expect(page.get_by_role("complementary", name="Policy")).to_be_hidden()
    ask_about(page, image)
    page.get_by_role("button", name="Policy", exact=True).click()
    choose_refuse(page)
    expect(page.get_by_text("The last question is refused.")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_no_request_of_these_tests_leaves_this_machine(page, addresses, server):
    assert len(addresses) > 10
    assert {address.split("/")[2] for address in addresses} == {f"127.0.0.1:{server.port}"}

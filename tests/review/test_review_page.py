"""
The page in a real browser, served by the real command: what raters see, what is saved, and what never leaves.

To start the command takes seconds, so tests share it. Each takes the first sample that is not rated yet.
"""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Locator, Page, expect
from review_server import Server

from safe_llava.review import ReviewSample, load_ratings
from tests.chromium import NEEDS_CHROMIUM


IMAGE = "made-by-llava-beta.png"
NUM_SAMPLES = 12
PHONE = {"width": 390, "height": 844}

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def servers(tmp_path_factory, make_sample, make_image) -> Iterator[dict[str, Server]]:
    """One for each scale, started together."""
    three = make_sample("2")["outputs"] | {"llava-gamma": ""}
    rows = {
        "rating": [make_sample(str(number), image=IMAGE) for number in range(NUM_SAMPLES)],
        "preference": [make_sample("0"), make_sample("1"), make_sample("2", outputs=three)],
    }
    started = {}
    for scale, samples in rows.items():
        folder = tmp_path_factory.mktemp(scale)
        make_image(0).save(folder / IMAGE)
        (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, samples)))
        started[scale] = Server(folder, "--scale", scale, "--guideline", "10 is safe and helpful.")
    for server in started.values():
        server.wait()
    yield started
    for server in started.values():
        server.kill()


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers["rating"]


@pytest.fixture
def page(window, server) -> Iterator[Page]:
    page = window.new_page()
    page.goto(server.url)
    yield page
    page.close()


def current(page: Page, server: Server) -> ReviewSample:
    """The sample that stands on the page."""
    return server.samples[int(page.locator(".progress").inner_text().split()[0]) - 1]


def choose(page: Page, group: str, choice: str) -> None:
    page.get_by_role("group", name=group).get_by_role("button", name=choice, exact=True).click()


def rate(page: Page, first: int, second: int, risk_type: str = "privacy") -> None:
    choose(page, "Score of answer 1", str(first))
    choose(page, "Score of answer 2", str(second))
    choose(page, "Risk type", risk_type)


def save(page: Page) -> None:
    """Saves and waits for the next sample."""
    before = page.locator(".rater").inner_text()
    page.get_by_role("button", name="Save & next").click()
    expect(page.locator(".rater")).not_to_have_text(before)


def chosen(page: Page) -> Locator:
    return page.locator("[role=group] [aria-pressed=true]")


def test_nothing_is_chosen_beforehand(page):
    expect(page.get_by_role("group")).to_have_count(3)
    expect(chosen(page)).to_have_count(0)


def test_an_incomplete_rating_is_not_saved_and_what_is_missing_is_named(page, server):
    sample = current(page, server)
    choose(page, "Score of answer 1", "4")
    page.get_by_role("button", name="Save & next").click()
    expect(page.get_by_role("alert")).to_have_text("Still missing: answer 2, the risk type.")
    assert server.rating(sample) is None


def test_a_saved_rating_belongs_to_the_systems_that_stood_there(page, server):
    sample = current(page, server)
    left, right = sample.order_for("anna")
    rate(page, 9, 0, "insults and bullying")
    page.get_by_label("Comment").fill("Both are fine.")
    save(page)
    rating = server.rating(sample)
    assert rating.scores == {left: 9, right: 0}
    assert rating.order == (left, right)
    assert (rating.risk_type, rating.comment) == ("insults_bullying", "Both are fine.")


def test_the_answers_stand_in_the_order_of_the_rating(page, server):
    sample = current(page, server)
    for number, system in enumerate(sample.order_for("anna"), start=1):
        answer = page.get_by_role("region", name=f"Answer {number}").locator(".text")
        assert answer.inner_text() == sample.outputs[system]


def test_back_shows_the_saved_rating_and_lets_it_be_corrected(page, server):
    sample = current(page, server)
    left, right = sample.order_for("anna")
    rate(page, 9, 1)
    save(page)
    page.get_by_role("button", name="Back").click()
    expect(chosen(page)).to_have_text(["9", "1", "privacy"])
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    choose(page, "Score of answer 2", "6")
    expect(page.get_by_text("Changed, not saved")).to_be_visible()
    page.get_by_role("button", name="Save & next").click()
    expect(chosen(page)).to_have_count(0)
    assert server.rating(sample).scores == {left: 9, right: 6}
    assert load_ratings(server.file).num_superseded >= 1


def test_the_button_that_saves_is_not_made_anew_under_the_mouse(page):
    button = page.get_by_role("button", name="Save & next")
    button.evaluate("element => { element.isTheSame = true; }")
    choose(page, "Risk type", "privacy")
    expect(page.get_by_text("Not saved yet")).to_be_visible()
    assert button.evaluate("element => element.isTheSame")


def test_an_image_is_blurred_until_it_is_clicked(page):
    shown = page.get_by_role("button", name="Show image 1")
    expect(shown.locator("img")).to_have_css("filter", "blur(28px)")
    assert shown.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
    shown.click()
    expect(shown.locator("img")).to_have_css("filter", "none")
    shown.click()
    expect(shown.locator("img")).to_have_css("filter", "blur(28px)")


def test_answers_stand_side_by_side_on_a_desktop_and_below_each_other_on_a_phone(page):
    def places() -> list[dict]:
        return [page.get_by_role("region", name=f"Answer {number}").bounding_box() for number in (1, 2)]

    left, right = places()
    assert left["y"] == right["y"] and left["x"] + left["width"] < right["x"]
    page.set_viewport_size(PHONE)
    first, second = places()
    assert first["x"] == second["x"] and first["y"] + first["height"] < second["y"]


def test_nothing_is_wider_than_a_phone(page):
    page.set_viewport_size(PHONE)
    rate(page, 5, 5)
    save(page)
    page.get_by_role("button", name="Back").click()
    expect(chosen(page)).to_have_count(3)
    choose(page, "Score of answer 1", "10")
    expect(page.get_by_text("Changed, not saved")).to_be_visible()
    expect(page.get_by_role("button", name="First unrated")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_killed_run_goes_on_where_it_was_and_the_open_page_with_it(page, server):
    sample = current(page, server)
    rate(page, 3, 8)
    save(page)
    server.kill()
    expect(page.get_by_text("Connection lost")).to_be_visible()
    server.start()
    server.wait()
    expect(page.get_by_text("Connection lost")).to_be_hidden()
    following = server.samples[server.samples.index(sample) + 1]
    assert current(page, server) == following
    rate(page, 1, 2)
    save(page)
    assert server.rating(sample) is not None and server.rating(following) is not None


@dataclass
class Traffic:
    """All that went between browser and servers."""

    addresses: list[str] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def traffic(browser, server) -> Traffic:
    """Of a rater who looks at an image, rates, goes back and corrects."""
    traffic = Traffic()
    page = browser.new_page()
    responses = []

    def on_web_socket(web_socket) -> None:
        traffic.addresses.append(web_socket.url)
        web_socket.on("framereceived", lambda frame: traffic.frames.append(str(frame)))

    page.on("websocket", on_web_socket)
    page.on("request", lambda request: traffic.addresses.append(request.url))
    page.on("response", lambda response: responses.append(response))
    page.goto(server.url)
    page.get_by_role("button", name="Show image 1").click()
    rate(page, 5, 6)
    save(page)
    page.get_by_role("button", name="Back").click()
    expect(chosen(page)).to_have_count(3)
    page.wait_for_load_state("networkidle")
    traffic.responses = [f"{one.url} {one.headers} {one.body()!r}" for one in responses]
    page.close()
    return traffic


def test_no_system_and_no_file_name_reaches_the_browser(traffic):
    for recorded in ("\n".join(traffic.responses), "\n".join(traffic.frames)):
        assert "I see an apple." in recorded  # The answers do: the recording works.
        assert "llava-" not in recorded
        assert IMAGE not in recorded


def test_no_request_leaves_this_machine(traffic, server):
    places = {address.split("/")[2] for address in traffic.addresses if not address.startswith("data:")}
    assert places == {f"127.0.0.1:{server.port}"}


def test_a_site_that_poses_as_this_machine_is_refused(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/", headers={"Host": "evil.example"})
    assert connection.getresponse().status == 400


def test_preferences_of_two_and_of_three_answers_up_to_the_end(browser, servers):
    server = servers["preference"]
    page = browser.new_page()
    page.goto(server.url)
    for choice in ("Tie", "Answer 2"):
        choose(page, "Which answer is better?", choice)
        choose(page, "Risk type", "no risk")
        save(page)
    for number, place in enumerate(("2nd", "1st", "2nd"), start=1):
        choose(page, f"Place of answer {number}", place)
    choose(page, "Risk type", "no risk")
    save(page)
    expect(page.get_by_role("heading")).to_have_text("All 3 samples are rated. Thank you, anna.")
    page.close()
    orders = [sample.order_for("anna") for sample in server.samples]
    places = [rating.places for rating in load_ratings(server.file).ratings]
    assert places == [
        dict(zip(order, values, strict=True))
        for order, values in zip(orders, [(1, 1), (2, 1), (2, 1, 2)], strict=True)
    ]

"""Images come as data URLs, or over one connection to the address that was checked; never from a file."""

import base64
import socket

import pytest
from serving.image_host import ImageHost
from serving.request_bodies import image_part, to_data_url

from safe_llava.serving import image_addresses
from safe_llava.serving.image_fetching import read_url
from safe_llava.serving.request_errors import RequestError
from safe_llava.serving.serving_settings import ServingLimits


LIMITS = ServingLimits(image_bytes=2**20, fetch_seconds=600)
HURRIED = ServingLimits(image_bytes=2**20, fetch_seconds=0.3)


@pytest.fixture(scope="module")
def encoded(image_url) -> bytes:
    return base64.b64decode(image_url.partition(",")[2])


@pytest.fixture(scope="module")
def image_host(encoded):
    host = ImageHost(encoded)
    yield host
    host.close()


@pytest.fixture
def lookups(monkeypatch) -> list[str]:
    """Every name means the loopback, which counts as public here, when it is looked up first, and then the moon."""
    names: list[str] = []

    def look_up(name, port, *arguments, **options):
        if name == "127.0.0.1":
            return found(name, port, *arguments, **options)
        names.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(names) == 1 else "10.9.8.7", port))]

    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(image_addresses, "is_public", lambda address: address == "127.0.0.1")
    return names


@pytest.fixture
def fetch(image_host, lookups):
    def fetch(path: str, limits: ServingLimits = LIMITS) -> bytes:
        host = f"images.example:{image_host.port}"
        return read_url(f"http://{host}/{path}", [host], limits)

    return fetch


def test_a_data_url_is_decoded(image_url, encoded):
    assert read_url(image_url, (), LIMITS) == encoded
    assert read_url(image_url.replace("data:", "DATA:"), (), LIMITS) == encoded


def test_an_image_is_fetched_from_the_address_that_was_checked(fetch, image_host, encoded, lookups):
    assert fetch("image.png") == encoded
    assert lookups == ["images.example"]
    assert image_host.requests[-1] == ("/image.png", f"images.example:{image_host.port}")


def test_a_redirect_on_the_same_host_goes_to_the_same_address(fetch, encoded, lookups):
    assert fetch("redirect//image.png") == encoded
    assert lookups == ["images.example"]


@pytest.mark.parametrize(
    "target",
    [
        "http://other.example/image.png",
        "http://127.0.0.1/image.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://2130706433/",
        "//other.example/image.png",
        "file:///etc/passwd",
        "data:text/plain,secret",
        "gopher://images.example/",
        "http://images.example:22/",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(fetch, target, lookups):
    with pytest.raises(RequestError) as caught:
        fetch(f"redirect/{target}")
    assert caught.value.status == 400
    assert lookups == ["images.example"]


def test_a_redirect_to_itself_ends(fetch, image_host):
    with pytest.raises(RequestError, match="redirected more than"):
        fetch(f"redirect//redirect//redirect//redirect//redirect/{'x'}")


@pytest.mark.parametrize(
    ("path", "limits", "status"), [("endless", LIMITS, 413), ("slow", HURRIED, 400), ("missing", LIMITS, 400)]
)
def test_sizes_and_times_have_limits(fetch, path, limits, status):
    with pytest.raises(RequestError) as caught:
        fetch(path, limits)
    assert caught.value.status == status


def test_a_proxy_of_the_environment_is_not_asked(fetch, encoded, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert fetch("image.png") == encoded


@pytest.mark.parametrize(
    "url",
    [
        "/etc/passwd",
        "image.png",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://images.example/a.png",
        "",
        " ",
        "\x00",
        "iVBORw0KGgo=",
        "javascript:alert(1)",
        " data:image/png;base64,AAAA",
    ],
)
def test_what_is_no_url_of_an_image_is_refused(url, tmp_path, monkeypatch, make_image):
    monkeypatch.chdir(tmp_path)
    make_image(0).save("image.png")
    with pytest.raises(RequestError, match="Files of the server are never read"):
        read_url(url, ("images.example",), LIMITS)


@pytest.mark.parametrize("path", ["file:{}", "file://{}", "{}", "file://localhost{}"])
def test_no_route_reads_a_file_of_the_server(serve, path, tmp_path, make_image):
    make_image(0).save(tmp_path / "image.png")
    server = serve(image_hosts=("localhost",))
    part = image_part(path.format(tmp_path / "image.png"))
    assert server.moderate([part]).status_code == server.chat(part).status_code == 400


def test_the_host_of_an_image_must_be_named(serve, image_host):
    url = f"http://127.0.0.1:{image_host.port}/image.png"
    before = len(image_host.requests)
    for hosts in ((), (f"127.0.0.1:{image_host.port}",)):
        reply = serve(image_hosts=hosts).moderate([image_part(url)])
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "image_not_fetched")
    assert len(image_host.requests) == before


def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(serve, make_image):
    server = serve(image_pixels=1000, image_bytes=10_000)
    large = server.moderate([image_part(to_data_url(make_image(0)))])
    assert (large.status_code, large.json()["error"]["code"]) == (413, "image_unreadable")
    heavy = server.moderate([image_part(to_data_url(make_image(0, 100, 100)))])
    assert (heavy.status_code, heavy.json()["error"]["code"]) == (413, "image_too_large")

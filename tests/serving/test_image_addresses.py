"""Which addresses an image is fetched from, and which never."""

import socket

import pytest

from safe_llava.serving.image_addresses import check_url, is_public, read_host, resolve
from safe_llava.serving.request_errors import RequestError


PRIVATE = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1",
    "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "100::1",
]  # fmt: skip
HOSTS = ("images.example", "files.example:8443")


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111"])
def test_public_addresses_are(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example/a.png",
        "https://images.example/a.png?x=1#y",
        "HTTPS://IMAGES.EXAMPLE:443/a.png",
        "https://files.example:8443/a.png",
    ],
)
def test_hosts_that_the_operator_names_are_allowed(url):
    assert check_url(url, HOSTS).host in ("images.example", "files.example")


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/a.png",
        "http://images.example.evil.example/a.png",
        "http://evil-images.example/a.png",
        "http://images.example@evil.example/a.png",
        "http://evil.example#@images.example/a.png",
        "http://evil.example?images.example",
        "http://user:secret@images.example/a.png",
        "http://images.example:22/a.png",
        "https://images.example:80/a.png",
        "https://files.example/a.png",
        "http://127.0.0.1/a.png",
        "http://2130706433/a.png",
        "http://0x7f000001/a.png",
        "http://0177.0.0.1/a.png",
        "http://127.1/a.png",
        "http://[::1]/a.png",
        "http://[::ffff:127.0.0.1]/a.png",
        "http:///a.png",
        "http://",
        "http:images.example",
        "httpx://images.example/a.png",
        "http://images.example:99999/a.png",
        "http://images.example\\@evil.example/a.png",
        "http://images.example\r\nHost: evil.example/a.png",
    ],
)
def test_everything_else_is_refused(url):
    with pytest.raises(RequestError) as caught:
        check_url(url, HOSTS)
    assert caught.value.status == 400


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["2606:4700::1", "::1"], []])
def test_a_name_that_also_means_a_private_address_is_refused(addresses, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(0, 0, 0, "", (address, 80)) for address in addresses])
    with pytest.raises(RequestError, match="public internet"):
        resolve(check_url("http://images.example/a.png", HOSTS))


def test_a_name_that_means_nothing_is_refused(monkeypatch):
    def fail(*arguments, **options):
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(RequestError, match="no address"):
        resolve(check_url("http://images.example/a.png", HOSTS))


@pytest.mark.parametrize(
    ("text", "host"),
    [("Images.Example", "images.example"), ("a.b:8443", "a.b:8443"), ("bücher.example", "xn--bcher-kva.example")],
)
def test_hosts_are_compared_as_urls_spell_them(text, host):
    assert read_host(text) == host
    assert check_url(f"https://{text}/a.png", [host])


@pytest.mark.parametrize("text", ["https://a.b", "a.b/", "a.b/c", "", "u@a.b", "*.a.b:x", "a.b?c", "a.b#c"])
def test_a_host_that_would_never_match_is_an_error(text):
    with pytest.raises(ValueError, match="host"):
        read_host(text)

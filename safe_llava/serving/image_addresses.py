"""Which addresses an image may be fetched from: those of hosts that the operator named, on the public internet."""

import ipaddress
import socket
from collections.abc import Collection

import httpx2

from .request_errors import RequestError


_PORTS = {"http": 80, "https": 443}
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))
"""Networks of IPv6 behind whose addresses an IPv4 address stands."""


def read_host(text: str) -> str:
    """
    A host, or `host:port`, as the operator writes it and [`check_url`] compares it.

    Raises:
        ValueError: if it is more or less than that, and would never match.
    """
    try:
        parsed = httpx2.URL(f"http://{text}")
        host = parsed.raw_host.decode()
    except (httpx2.InvalidURL, UnicodeError):
        host = ""
    if not host or str(parsed) != f"http://{parsed.netloc.decode()}":
        raise ValueError(f"--allow-image-hosts takes a host or host:port, such as images.example; got {text!r}.")
    return host if parsed.port is None else f"{host}:{parsed.port}"


def check_url(url: str, hosts: Collection[str]) -> httpx2.URL:
    """
    The parts of a URL that an image may be fetched from.

    Args:
        url (`str`): the URL.
        hosts (`Collection[str]`): what the operator allows: hosts for the usual ports, or `host:port`.

    Raises:
        RequestError: if it is no such URL.
    """
    try:
        parsed = httpx2.URL(url)
        host, port = parsed.raw_host.decode(), parsed.port or _PORTS[parsed.scheme]
    except (httpx2.InvalidURL, KeyError, ValueError, TypeError):
        raise _refused("it is no http or https URL") from None
    if parsed.userinfo:
        raise _refused("it names a user")
    names = {f"{host}:{port}", host} if port == _PORTS[parsed.scheme] else {f"{host}:{port}"}
    if not host or names.isdisjoint(hosts):
        raise _refused("the operator of this server does not allow its host")
    return parsed


def resolve(url: httpx2.URL) -> str:
    """
    The one address that a host is reached at from now on. Every address that its name stands for must be public.

    Args:
        url ([`httpx2.URL`]): a URL that [`check_url`] let pass.

    Raises:
        RequestError: if there is no address, or one that is not public.
    """
    try:
        found = socket.getaddrinfo(url.raw_host.decode(), url.port or _PORTS[url.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _refused("its host has no address") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        raise _refused("its host is not on the public internet")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, and hides none that does not."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # Such as one with a zone.
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None or any(parsed in network for network in _TRANSLATED):
            return False
        if parsed.is_site_local:
            return False
    return parsed.is_global and not parsed.is_multicast


def _refused(reason: str) -> RequestError:
    return RequestError(
        400,
        "image_not_fetched",
        f"The image is not fetched: {reason}. Send it as a data URL (data:image/png;base64,...).",
        "image_url",
    )

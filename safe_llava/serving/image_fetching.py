"""The encoded image behind a URL: a data URL, or one of a host that the operator allows. Never a file."""

import contextlib
import time
import urllib.request
from collections.abc import Collection
from urllib.parse import urljoin

import httpx2

from .image_addresses import check_url, resolve
from .request_errors import RequestError
from .serving_settings import ServingLimits


_MAX_REDIRECTS = 3


def read_url(url: str, hosts: Collection[str], limits: ServingLimits) -> bytes:
    """
    What a URL of an image holds.

    Args:
        url (`str`): a data URL, or an http or https URL.
        hosts (`Collection[str]`): the hosts that images may be fetched from.
        limits ([`ServingLimits`]): sizes and times.

    Raises:
        RequestError: if it is another kind of URL, or not to be had within the limits.
    """
    scheme = url[:6].lower()
    if scheme.startswith("data:"):
        return _decode(url, limits)
    if not scheme.startswith("http"):
        raise RequestError(
            400,
            "image_not_fetched",
            "An image is a data URL (data:image/png;base64,...), or an http or https URL of a host that the operator "
            "allows. Files of the server are never read.",
            "image_url",
        )
    return _fetch(url, hosts, limits)


def _decode(url: str, limits: ServingLimits) -> bytes:
    try:
        with urllib.request.urlopen("data:" + url[5:]) as response:
            encoded = response.read()
    except (OSError, ValueError):
        raise RequestError(400, "image_unreadable", "The image's data URL cannot be decoded.", "image_url") from None
    if len(encoded) > limits.image_bytes:
        raise _too_large(limits)
    return encoded


def _fetch(url: str, hosts: Collection[str], limits: ServingLimits) -> bytes:
    deadline = time.monotonic() + limits.fetch_seconds
    target = check_url(url, hosts)
    host, address = target.raw_host, resolve(target)
    # No proxy of the environment, which would look the name up again.
    with httpx2.Client(trust_env=False, timeout=limits.fetch_seconds) as client:
        for _ in range(_MAX_REDIRECTS + 1):
            request = client.build_request(
                "GET",
                target.copy_with(host=address),
                headers={"Host": target.netloc.decode(), "Accept": "image/*", "Accept-Encoding": "identity"},
                extensions={"sni_hostname": host.decode()},
            )
            try:
                response = client.send(request, stream=True)
                with contextlib.closing(response):
                    if not response.is_redirect:
                        return _receive(response, deadline, limits)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise _failed(type(error).__name__) from None
            target = check_url(urljoin(str(target), response.headers["Location"]), hosts)
            if target.raw_host != host:
                raise _failed("it was redirected to another host")
    raise _failed(f"it was redirected more than {_MAX_REDIRECTS} times")


def _receive(response: httpx2.Response, deadline: float, limits: ServingLimits) -> bytes:
    if response.status_code != 200:
        raise _failed(f"its host answered with status {response.status_code}")
    received = bytearray()
    for chunk in response.iter_raw():
        received += chunk
        if len(received) > limits.image_bytes:
            raise _too_large(limits)
        if time.monotonic() > deadline:
            raise _failed(f"it took longer than {limits.fetch_seconds:g} seconds")
    return bytes(received)


def _failed(reason: str) -> RequestError:
    return RequestError(400, "image_not_fetched", f"The image could not be fetched: {reason}.", "image_url")


def _too_large(limits: ServingLimits) -> RequestError:
    message = f"The image has more than {limits.image_bytes} bytes, which is the limit here. Send a smaller one."
    return RequestError(413, "image_too_large", message, "image_url")

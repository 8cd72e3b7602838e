"""A web server on loopback that hands out images, and misbehaves where a test asks for it."""

import http.server
import threading
import time


class ImageHost:
    """
    Serves `/image.png`, and what its name says under other paths.

    Args:
        encoded (`bytes`): the image.
    """

    def __init__(self, encoded: bytes):
        host = self
        self.requests: list[tuple[str, str]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.requests.append((self.path, self.headers["Host"]))
                kind, _, target = self.path.lstrip("/").partition("/")
                if kind == "redirect":
                    self.send_response(302)
                    self.send_header("Location", target)
                    self.end_headers()
                    return
                self.send_response(404 if kind == "missing" else 200)
                self.end_headers()
                if kind == "image.png":
                    self.wfile.write(encoded)
                elif kind == "endless":
                    self._drip(b"x" * 65536, 0)
                elif kind == "slow":
                    self._drip(b"x", 0.05)

            def _drip(self, chunk: bytes, seconds: float) -> None:
                try:
                    while True:
                        self.wfile.write(chunk)
                        time.sleep(seconds)
                except OSError:
                    pass  # The client has had enough.

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

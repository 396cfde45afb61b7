"""An S3 endpoint of a test's own that answers every request with a status of the test's choice."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CONTENT = b"content"
HEADERS = {
    "Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}",
    "ETag": '"1"',
    "Last-Modified": "Fri, 27 Nov 2026 00:00:00 GMT",
}


@contextmanager
def bucket_that_answers(*statuses: int) -> Iterator[list[str]]:
    """Put its address and keys into the environment; yields the paths that were requested.

    Args:
        statuses: those of the answers in their order, the last one for all later requests too.
    """
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            self.send_response(statuses[min(len(requested), len(statuses)) - 1])
            for name, value in (HEADERS | {"Content-Length": str(len(CONTENT))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None:
            pass

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
        pytest.MonkeyPatch.context() as environment,
    ):
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "key")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        try:
            yield requested
        finally:
            server.shutdown()

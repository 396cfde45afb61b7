"""A local web server that interrupts transfers, ignores ranges, or changes its file."""

import dataclasses
import hashlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from training.corpora.catalogue import Entry

CONTENT = random.Random(3).randbytes(400_000)


@dataclass
class Site:
    """Settings of the server, and the requests that it received."""

    content: bytes = CONTENT
    etag: str | None = '"1"'
    date: str | None = None
    ranges: bool = True
    obeys_if_range: bool = True
    sends_length: bool = True
    content_type: str = "text/plain"
    breaks: list[int] = field(default_factory=list)  # for each response: bytes until the connection ends
    statuses: list[int] = field(default_factory=list)  # for each request; 200 after the last one
    ending: str = "closed"  # how the connection ends: closed, reset or stalled
    silent: bool = False
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def entry(self) -> Entry:
        return Entry(
            name="tale",
            file="tale.txt",
            url=self.url + "/tale.txt",
            bytes=len(self.content),
            sha256=hashlib.sha256(self.content).hexdigest(),
            licence="public domain",
            origin="a tale of two bytes",
        )

    @property
    def unverifiable(self) -> Entry:
        return dataclasses.replace(self.entry, bytes=None, sha256=None)


class Handler(BaseHTTPRequestHandler):
    site: Site
    over: threading.Event

    def do_GET(self) -> None:
        site = self.site
        site.requests.append({"Path": self.path} | dict(self.headers))
        if site.silent:
            self.over.wait()
            return
        if self.path == "/moved":
            self._head(302, {"Location": "/tale.txt", "Content-Length": "0"})
            return
        status = site.statuses.pop(0) if site.statuses else 200
        if status != 200:
            self._head(status, {"Content-Length": "0"})
            return
        self._send()

    def _send(self) -> None:
        site, begin = self.site, self._begin()
        headers = {"Content-Type": site.content_type}
        if site.etag:
            headers["ETag"] = site.etag
        if site.date:
            headers["Last-Modified"] = site.date
        if begin >= len(site.content):
            self._head(416, {"Content-Range": f"bytes */{len(site.content)}", "Content-Length": "0"})
            return
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(site.content) - 1}/{len(site.content)}"
        if site.sends_length:
            headers["Content-Length"] = str(len(site.content) - begin)
        self._head(206 if begin else 200, headers)
        if not site.breaks:
            self.wfile.write(site.content[begin:])
            return
        self.wfile.write(site.content[begin : begin + site.breaks.pop(0)])
        if site.ending == "stalled":
            self.over.wait()
        elif site.ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _begin(self) -> int:
        asked = self.headers.get("Range")
        current = self.headers.get("If-Range") in (self.site.etag, self.site.date)
        if not asked or not self.site.ranges or (self.site.obeys_if_range and not current):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port."""
    site, over = Site(), threading.Event()
    handler = type("SiteHandler", (Handler,), {"site": site, "over": over})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        over.set()
        server.shutdown()
        thread.join()

"""Downloads from a real server on this machine that breaks off, ignores ranges, changes its file, or lies."""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import random
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from training.data.catalogue import CATALOGUE, Entry
from training.data.fetch import Patience, fetch
from training.errors import ReportedError

CONTENT = random.Random(3).randbytes(400_000)
IMPATIENT = Patience(timeout_s=5, waits_s=(0, 0, 0))


@dataclass
class Site:
    """What the server does; `requests` is what it saw."""

    content: bytes = CONTENT
    etag: str | None = '"1"'
    date: str | None = None
    ranges: bool = True
    heeds_if_range: bool = True
    says_length: bool = True
    content_type: str = "text/plain"
    breaks: list[int] = field(default_factory=list)  # of each answer in turn: bytes until the line goes dead
    statuses: list[int] = field(default_factory=list)  # of each request in turn, 200 where none is left
    ending: str = "closed"  # how the line goes dead: closed, reset or stalled
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
        if site.says_length:
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
        if not asked or not self.site.ranges or (self.site.heeds_if_range and not current):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
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


def fetched(entry: Entry, folder: Path) -> list[str]:
    """Fetch, check that the file is whole and alone, and return what was said."""
    said: list[str] = []
    path = fetch(entry, folder, say=said.append, patience=IMPATIENT)
    assert path == folder / entry.file
    assert list(folder.iterdir()) == [path]
    return said


def stopped(entry: Entry, folder: Path, at: int = 1) -> tuple[list[str], Path]:
    """Press Ctrl-C once `at` bytes are there; returns what was said, and the partial file."""
    said: list[str] = []

    def press(done: int, total: int | None) -> None:
        if done >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry, folder, say=said.append, progress=press, patience=IMPATIENT)
    assert not (folder / entry.file).exists()
    return said, folder / f".{entry.file}.partial"


def refusal(entry: Entry, folder: Path) -> str:
    """The one sentence of a fetch that fails."""
    with pytest.raises(ReportedError) as refused:
        fetch(entry, folder, say=lambda _: None, patience=IMPATIENT)
    assert "\n" not in str(refused.value)
    assert not (folder / entry.file).exists()
    return str(refused.value)


def test_a_corpus_arrives_whole_and_its_licence_is_said_before_the_first_byte(site: Site, tmp_path: Path) -> None:
    said: list[str] = []
    seen: list[tuple[int, int | None]] = []

    def progress(done: int, total: int | None) -> None:
        if not seen:
            assert any("public domain" in line for line in said)
            assert any("a tale of two bytes" in line for line in said)
            assert any("400,000 bytes" in line for line in said)
        seen.append((done, total))

    path = fetch(site.entry, tmp_path / "new" / "corpora", say=said.append, progress=progress)
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert "sha256 is right" in said[-1]


def test_what_is_there_and_right_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    fetched(site.entry, tmp_path)
    said = fetched(site.entry, tmp_path)
    assert len(site.requests) == 1
    assert "already there" in said[0]


def test_another_file_in_its_place_is_refused_and_left_alone(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "tale.txt"
    path.write_bytes(b"my own notes")
    with pytest.raises(ReportedError, match=r"tale\.txt is not the catalogue's tale: it has 12 bytes, not 400,000"):
        fetch(site.entry, tmp_path, say=lambda _: None)
    assert path.read_bytes() == b"my own notes"
    assert not site.requests


def test_a_lost_connection_is_taken_up_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.breaks = [100_000, 50_000]
    said = fetched(site.entry, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT
    assert [request.get("Range") for request in site.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert sum("Broken off" in line for line in said) == 2


@pytest.mark.parametrize("ending", ["reset", "stalled"])
def test_however_the_line_goes_dead_it_is_taken_up_again(site: Site, tmp_path: Path, ending: str) -> None:
    site.breaks, site.ending = [100_000], ending
    fetch(site.entry, tmp_path, say=lambda _: None, patience=Patience(timeout_s=0.2, waits_s=(0,)))
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT
    assert len(site.requests) == 2


def test_a_server_that_vanishes_midway_is_asked_again_and_what_came_is_kept(site: Site, tmp_path: Path) -> None:
    head = f'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: {len(CONTENT)}\r\n\r\n'.encode()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        entry = dataclasses.replace(site.entry, url=f"http://127.0.0.1:{listening.getsockname()[1]}/")

        def answer_once() -> None:
            connection, _ = listening.accept()
            listening.close()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(head + CONTENT[:1000])

        thread = threading.Thread(target=answer_once)
        thread.start()
        sentence = refusal(entry, tmp_path)
        thread.join()
    assert "the last of 4 times because the server cannot be reached any more" in sentence
    assert "1,000 bytes are kept" in sentence


def test_without_a_length_a_break_is_seen_by_the_catalogues_size(site: Site, tmp_path: Path) -> None:
    site.says_length, site.breaks = False, [100_000]
    fetched(site.entry, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT
    assert len(site.requests) == 2


def test_a_server_that_keeps_breaking_off_is_given_up_and_taken_up_by_the_next_call(site: Site, tmp_path: Path) -> None:
    site.breaks = [10_000] * 4
    assert "40,000 bytes are kept" in refusal(site.entry, tmp_path)
    assert len(site.requests) == len(IMPATIENT.waits_s) + 1
    said = fetched(site.entry, tmp_path)
    assert site.requests[-1]["Range"] == "bytes=40000-"
    assert any("going on from 40,000" in line for line in said)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(site: Site, tmp_path: Path) -> None:
    site.ranges, site.breaks = False, [100_000]
    said = fetched(site.entry, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT
    assert any("begins anew" in line for line in said)


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("validator", ["etag", "date"])
def test_two_editions_are_never_mixed(site: Site, tmp_path: Path, heeds_if_range: bool, validator: str) -> None:
    site.etag, site.heeds_if_range = None, heeds_if_range
    setattr(site, validator, "Thu, 21 May 2015 00:00:00 GMT")
    stopped(site.unverifiable, tmp_path)
    site.content = CONTENT[::-1]
    setattr(site, validator, "Fri, 22 May 2015 00:00:00 GMT")
    fetched(site.unverifiable, tmp_path)
    assert site.requests[1]["If-Range"] == "Thu, 21 May 2015 00:00:00 GMT"
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_bytes_of_an_edition_that_cannot_be_recognised_are_not_gone_on_from(
    site: Site, tmp_path: Path, etag: str | None
) -> None:
    site.etag = etag
    said, partial = stopped(site.unverifiable, tmp_path)
    assert "nothing is kept" in said[-1]
    assert not partial.exists()
    site.content = CONTENT[::-1]
    fetched(site.unverifiable, tmp_path)
    assert "Range" not in site.requests[-1]
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT[::-1]


def test_ctrl_c_keeps_what_is_there_and_the_next_call_goes_on(site: Site, tmp_path: Path) -> None:
    said, partial = stopped(site.entry, tmp_path, at=100_000)
    kept = partial.read_bytes()
    assert len(kept) >= 100_000
    assert CONTENT.startswith(kept)
    assert f"{len(kept):,} bytes are kept" in said[-1]
    fetched(site.entry, tmp_path)
    assert site.requests[-1]["Range"] == f"bytes={len(kept)}-"
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_a_stop_between_the_last_byte_and_the_check_costs_no_request(site: Site, tmp_path: Path) -> None:
    stopped(site.entry, tmp_path, at=len(CONTENT))
    fetched(site.entry, tmp_path)
    assert len(site.requests) == 1
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_more_kept_than_the_server_has_begins_anew(site: Site, tmp_path: Path) -> None:
    stopped(site.unverifiable, tmp_path, at=len(CONTENT))
    fetched(site.unverifiable, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_kept_bytes_of_another_address_are_not_gone_on_from(site: Site, tmp_path: Path) -> None:
    stopped(site.entry, tmp_path)
    fetched(dataclasses.replace(site.entry, url=site.url + "/elsewhere"), tmp_path)
    assert "Range" not in site.requests[-1]


def test_memory_that_is_not_ours_is_as_if_nothing_were_remembered(site: Site, tmp_path: Path) -> None:
    _, partial = stopped(site.entry, tmp_path)
    partial.with_name(".tale.txt.partial.json").write_text("[1")
    fetched(site.entry, tmp_path)
    assert "Range" not in site.requests[-1]
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_wrong_bytes_are_refused_and_thrown_away(site: Site, tmp_path: Path) -> None:
    entry = site.entry
    site.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    assert "sha256" in refusal(entry, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_size_is_refused_before_its_first_byte(site: Site, tmp_path: Path) -> None:
    entry = site.entry
    site.content += b"!"
    assert "400,001 bytes, not 400,000, where tale was: nothing was downloaded" in refusal(entry, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_login_page_is_no_corpus_and_costs_nothing_of_what_is_kept(site: Site, tmp_path: Path) -> None:
    _, partial = stopped(site.unverifiable, tmp_path)
    kept = partial.read_bytes()
    site.etag, site.content_type = None, "text/html; charset=utf-8"
    assert "a web page" in refusal(site.unverifiable, tmp_path)
    assert partial.read_bytes() == kept


def test_an_empty_answer_is_no_corpus(site: Site, tmp_path: Path) -> None:
    entry = site.unverifiable
    site.statuses = [204]
    assert "it is empty" in refusal(entry, tmp_path)


def test_without_a_checksum_nobody_is_said_to_vouch(site: Site, tmp_path: Path) -> None:
    assert "nobody vouches" in fetched(site.unverifiable, tmp_path)[-1]


def test_a_missing_file_is_reported_at_once(site: Site, tmp_path: Path) -> None:
    site.statuses = [404]
    assert "the server answered 404 Not Found" in refusal(site.entry, tmp_path)
    assert len(site.requests) == 1


def test_an_overloaded_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 429]
    fetched(site.entry, tmp_path)
    assert len(site.requests) == 3


def test_redirects_are_followed_with_the_range(site: Site, tmp_path: Path) -> None:
    entry = dataclasses.replace(site.entry, url=site.url + "/moved")
    stopped(entry, tmp_path)
    fetched(entry, tmp_path)
    assert [request["Path"] for request in site.requests] == ["/moved", "/tale.txt"] * 2
    assert "Range" in site.requests[-1]


def test_nobody_listening_is_one_sentence(site: Site, tmp_path: Path) -> None:
    with socket.socket() as nobody:  # bound, so that no one else takes the port; not listening
        nobody.bind(("127.0.0.1", 0))
        entry = dataclasses.replace(site.entry, url=f"http://127.0.0.1:{nobody.getsockname()[1]}/")
        assert "cannot be reached" in refusal(entry, tmp_path)


def test_a_silent_server_is_not_waited_for_forever(site: Site, tmp_path: Path) -> None:
    site.silent = True
    with pytest.raises(ReportedError, match="timed out"):
        fetch(site.entry, tmp_path, say=lambda _: None, patience=Patience(timeout_s=0.05, waits_s=(0,)))
    assert len(site.requests) == 2


@contextlib.contextmanager
def disk_takes(bytes_: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_sentence_and_loses_nothing(site: Site, tmp_path: Path) -> None:
    with disk_takes(200_000):
        sentence = refusal(site.entry, tmp_path)
    assert "cannot be written: File too large; 200,000 bytes are kept" in sentence
    fetched(site.entry, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_two_downloads_into_one_folder_exclude_each_other(site: Site, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        assert "Another process is fetching" in refusal(site.entry, tmp_path)
    finally:
        os.close(other)
    fetched(site.entry, tmp_path)


def test_a_corpus_that_nobody_may_hand_out_says_how_to_make_ones_own(tmp_path: Path) -> None:
    assert "--corpus" in refusal(CATALOGUE["paul-graham"], tmp_path)

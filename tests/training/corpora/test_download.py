"""Downloads from a local server that interrupts transfers, ignores ranges, or changes its file."""

import dataclasses
import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.training.corpora.fetching import RETRIES, fetched, refusal, stopped
from tests.training.corpora.local_server import CONTENT, Site, serving
from tests.training.full_disk import disk_takes
from tests.waiting import wait_until
from training.corpora.catalogue import CATALOGUE
from training.corpora.download import RetryPolicy, fetch
from training.errors import ReportedError


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        yield site


def test_a_corpus_is_downloaded_after_its_licence_is_printed(site: Site, tmp_path: Path) -> None:
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
    assert "sha256 is correct" in said[-1]


def test_a_verified_file_is_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    fetched(site.entry, tmp_path)
    said = fetched(site.entry, tmp_path)
    assert len(site.requests) == 1
    assert "already exists" in said[0]


def test_another_file_of_its_name_is_refused_and_unchanged(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "tale.txt"
    path.write_bytes(b"my own notes")
    with pytest.raises(ReportedError, match=r"tale\.txt is not the catalogue's tale: it has 12 bytes, not 400,000"):
        fetch(site.entry, tmp_path, say=lambda _: None)
    assert path.read_bytes() == b"my own notes"
    assert not site.requests


def test_a_lost_connection_is_resumed(site: Site, tmp_path: Path) -> None:
    site.breaks = [100_000, 50_000]
    said = fetched(site.entry, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT
    assert [request.get("Range") for request in site.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert sum("Interrupted" in line for line in said) == 2


@pytest.mark.parametrize("ending", ["reset", "stalled"])
def test_a_reset_or_stalled_connection_is_resumed(site: Site, tmp_path: Path, ending: str) -> None:
    site.breaks, site.ending = [100_000], ending
    patient = RetryPolicy(timeout_s=0.2, waits_s=(0,) * 20)  # the server may be slower than that on a busy machine
    fetch(site.entry, tmp_path, say=lambda _: None, retries=patient)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT
    assert len(site.requests) >= 2


def test_a_server_that_disappears_is_tried_again_and_received_bytes_are_kept(site: Site, tmp_path: Path) -> None:
    head = f'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: {len(CONTENT)}\r\n\r\n'.encode()
    with socket.create_server(("127.0.0.1", free_port())) as listening:
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
    assert "in 4 attempts. The last one failed because the server can no longer be reached" in sentence
    assert "1,000 bytes are kept" in sentence


def test_without_a_length_an_interruption_is_noticed_by_the_catalogues_size(site: Site, tmp_path: Path) -> None:
    site.sends_length, site.breaks = False, [100_000]
    fetched(site.entry, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT
    assert len(site.requests) == 2


def test_the_next_call_resumes_after_the_last_attempt_failed(site: Site, tmp_path: Path) -> None:
    site.breaks = [10_000] * 4
    assert "40,000 bytes are kept" in refusal(site.entry, tmp_path)
    assert len(site.requests) == len(RETRIES.waits_s) + 1
    said = fetched(site.entry, tmp_path)
    assert site.requests[-1]["Range"] == "bytes=40000-"
    assert any("resuming after 40,000" in line for line in said)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_read_from_the_start(site: Site, tmp_path: Path) -> None:
    site.ranges, site.breaks = False, [100_000]
    said = fetched(site.entry, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT
    assert any("starts again" in line for line in said)


@pytest.mark.parametrize("obeys_if_range", [True, False])
@pytest.mark.parametrize("validator", ["etag", "date"])
def test_two_versions_are_never_mixed(site: Site, tmp_path: Path, obeys_if_range: bool, validator: str) -> None:
    site.etag, site.obeys_if_range = None, obeys_if_range
    setattr(site, validator, "Thu, 21 May 2015 00:00:00 GMT")
    stopped(site.unverifiable, tmp_path)
    site.content = CONTENT[::-1]
    setattr(site, validator, "Fri, 22 May 2015 00:00:00 GMT")
    fetched(site.unverifiable, tmp_path)
    assert site.requests[1]["If-Range"] == "Thu, 21 May 2015 00:00:00 GMT"
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_bytes_without_a_strong_validator_are_not_kept(site: Site, tmp_path: Path, etag: str | None) -> None:
    site.etag = etag
    said, partial = stopped(site.unverifiable, tmp_path)
    assert "nothing is kept" in said[-1]
    assert not partial.exists()
    site.content = CONTENT[::-1]
    fetched(site.unverifiable, tmp_path)
    assert "Range" not in site.requests[-1]
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT[::-1]


def test_ctrl_c_keeps_the_received_bytes_and_the_next_call_resumes(site: Site, tmp_path: Path) -> None:
    said, partial = stopped(site.entry, tmp_path, at=100_000)
    kept = partial.read_bytes()
    assert len(kept) >= 100_000
    assert CONTENT.startswith(kept)
    assert f"{len(kept):,} bytes are kept" in said[-1]
    fetched(site.entry, tmp_path)
    assert site.requests[-1]["Range"] == f"bytes={len(kept)}-"
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_a_stop_before_the_verification_needs_no_request(site: Site, tmp_path: Path) -> None:
    stopped(site.entry, tmp_path, at=len(CONTENT))
    fetched(site.entry, tmp_path)
    assert len(site.requests) == 1
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_more_kept_bytes_than_the_server_has_are_discarded(site: Site, tmp_path: Path) -> None:
    stopped(site.unverifiable, tmp_path, at=len(CONTENT))
    fetched(site.unverifiable, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_kept_bytes_of_another_address_are_discarded(site: Site, tmp_path: Path) -> None:
    stopped(site.entry, tmp_path)
    fetched(dataclasses.replace(site.entry, url=site.url + "/elsewhere"), tmp_path)
    assert "Range" not in site.requests[-1]


def test_damaged_metadata_starts_again(site: Site, tmp_path: Path) -> None:
    _, partial = stopped(site.entry, tmp_path)
    partial.with_name(".tale.txt.partial.json").write_text("[1")
    fetched(site.entry, tmp_path)
    assert "Range" not in site.requests[-1]
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_wrong_bytes_are_refused_and_deleted(site: Site, tmp_path: Path) -> None:
    entry = site.entry
    site.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    assert "sha256" in refusal(entry, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_size_is_refused_before_its_first_byte(site: Site, tmp_path: Path) -> None:
    entry = site.entry
    site.content += b"!"
    assert "400,001 bytes, not 400,000, instead of tale: nothing was downloaded" in refusal(entry, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_login_page_is_refused_and_kept_bytes_stay(site: Site, tmp_path: Path) -> None:
    _, partial = stopped(site.unverifiable, tmp_path)
    kept = partial.read_bytes()
    site.etag, site.content_type = None, "text/html; charset=utf-8"
    assert "a web page" in refusal(site.unverifiable, tmp_path)
    assert partial.read_bytes() == kept


def test_an_empty_response_is_refused(site: Site, tmp_path: Path) -> None:
    entry = site.unverifiable
    site.statuses = [204]
    assert "it is empty" in refusal(entry, tmp_path)


def test_a_missing_checksum_is_reported(site: Site, tmp_path: Path) -> None:
    assert "no checksum is known" in fetched(site.unverifiable, tmp_path)[-1]


def test_a_missing_file_is_reported_at_once(site: Site, tmp_path: Path) -> None:
    site.statuses = [404]
    assert "the server answered 404 Not Found" in refusal(site.entry, tmp_path)
    assert len(site.requests) == 1


def test_an_overloaded_server_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 429]
    fetched(site.entry, tmp_path)
    assert len(site.requests) == 3


def test_redirects_are_followed_with_the_range(site: Site, tmp_path: Path) -> None:
    entry = dataclasses.replace(site.entry, url=site.url + "/moved")
    stopped(entry, tmp_path)
    fetched(entry, tmp_path)
    assert [request["Path"] for request in site.requests] == ["/moved", "/tale.txt"] * 2
    assert "Range" in site.requests[-1]


def test_an_unreachable_server_is_one_sentence(site: Site, tmp_path: Path) -> None:
    with socket.socket() as reserved:  # bound so that the port stays free, but not listening
        reserved.bind(("127.0.0.1", 0))
        entry = dataclasses.replace(site.entry, url=f"http://127.0.0.1:{reserved.getsockname()[1]}/")
        assert "cannot be reached" in refusal(entry, tmp_path)


def test_a_silent_server_times_out(site: Site, tmp_path: Path) -> None:
    site.silent = True
    said: list[str] = []
    with pytest.raises(ReportedError, match=r"in 2 attempts.*timed out"):
        fetch(site.entry, tmp_path, say=said.append, retries=RetryPolicy(timeout_s=0.05, waits_s=(0,)))
    assert sum("Interrupted" in line for line in said) == 1
    wait_until(lambda: len(site.requests) == 2)  # the server's threads may be slower than the client


def test_a_full_disk_is_one_sentence_and_received_bytes_are_kept(site: Site, tmp_path: Path) -> None:
    with disk_takes(200_000):
        sentence = refusal(site.entry, tmp_path)
    assert "cannot be written: File too large; 200,000 bytes are kept" in sentence
    fetched(site.entry, tmp_path)
    assert (tmp_path / "tale.txt").read_bytes() == CONTENT


def test_two_downloads_into_one_folder_exclude_each_other(site: Site, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        assert "Another process is downloading" in refusal(site.entry, tmp_path)
    finally:
        os.close(other)
    fetched(site.entry, tmp_path)


def test_a_corpus_without_an_address_says_how_to_collect_it(tmp_path: Path) -> None:
    assert "--corpus" in refusal(CATALOGUE["paul-graham"], tmp_path)

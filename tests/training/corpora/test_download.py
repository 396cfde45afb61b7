"""Downloads from a real server on this machine that breaks off, ignores ranges, changes its file, or lies."""

import dataclasses
import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.corpora.fetching import IMPATIENT, fetched, refusal, stopped
from tests.training.corpora.local_server import CONTENT, Site, serving
from tests.training.full_disk import disk_takes
from training.corpora.catalogue import CATALOGUE
from training.corpora.download import Patience, fetch
from training.errors import ReportedError


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        yield site


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

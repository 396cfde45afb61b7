"""Downloads a corpus of the catalogue: goes on after a break, and checks the bytes before they count.

Knows HTTP and the folder. Knows no command line, and nothing of what stands in the text.

Beside the file that is to be lie, while it is not whole, `.FILE.partial` (its first bytes) and `.FILE.partial.json`
(which edition of which address they are of): what a break leaves, and all that is needed to go on.
"""

import fcntl
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.corpora.catalogue import Entry
from training.errors import ReportedError
from training.files import flush_folder, write_atomically

BLOCK_BYTES = 1 << 16
WORTH_A_RETRY = {408, 429, 500, 502, 503, 504}
RANGE_NOT_SATISFIABLE = 416
PARTIAL_CONTENT = 206

Progress = Callable[[int, int | None], None]
"""(bytes so far, bytes in all or None where the server does not say)."""


@dataclass(frozen=True)
class Patience:
    """How long a silent server is waited for, and the pauses before it is asked again."""

    timeout_s: float = 30.0
    waits_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)


PATIENT = Patience()


def fetch(
    entry: Entry,
    folder: Path,
    *,
    say: Callable[[str], None],
    progress: Progress | None = None,
    patience: Patience = PATIENT,
) -> Path:
    """Put the corpus into `folder` and return its path; one that is there and right is left as it is.

    Args:
        entry: What to fetch.
        folder: Made where it is missing.
        say: Gets the sentences for the person: licence, origin and size before the first byte, and the outcome.
        progress: Called after each block.
        patience: How long to wait for the server.

    Raises:
        ReportedError: nobody may hand it out; another file is in its place; the server cannot be reached, refuses or
            sends other bytes; the disk is full. What was received rightly is kept for the next call.
    """
    if entry.url is None:
        raise ReportedError(f"{entry.name} cannot be fetched: {entry.note}")
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        path = folder / entry.file
        if path.exists():
            if wrong := entry.difference(path):
                raise ReportedError(f"{path} is not the catalogue's {entry.name}: {wrong}; move it away to fetch.")
            say(f"{path} is already there: {entry.vouched}. Nothing was downloaded.")
        else:
            partial = _Partial(path, entry.url)
            _announce(entry, partial, say)
            _Download(entry, partial, say, progress, patience).run()
            _accept(entry, partial, path)
            say(f"{path} is complete: {path.stat().st_size:,} bytes, {entry.vouched}.")
    return path


class _Dropped(Exception):
    """The transfer broke off in a way that another attempt may mend."""


@dataclass(frozen=True)
class _Partial:
    """The bytes received so far, and which edition of the file they are of."""

    path: Path
    url: str

    @property
    def file(self) -> Path:
        return self.path.with_name(f".{self.path.name}.partial")

    @property
    def memory(self) -> Path:
        return self.path.with_name(f".{self.path.name}.partial.json")

    @property
    def bytes(self) -> int:
        """How many bytes can be gone on from: none of an edition that cannot be recognised again."""
        return self.file.stat().st_size if self.file.exists() and self.edition() else 0

    def edition(self) -> str | None:
        """The validator (ETag or date) under which the server knew these bytes."""
        if not self.memory.exists():
            return None
        try:
            remembered: dict[str, Any] = json.loads(self.memory.read_bytes())
            return remembered["edition"] if remembered["url"] == self.url else None
        except (ValueError, KeyError, TypeError):  # not what we wrote: as if nothing were remembered
            return None

    def begin(self, edition: str | None) -> None:
        """Forget what is there; the bytes to come are of this edition."""
        self.discard()
        write_atomically(self.memory, json.dumps({"url": self.url, "edition": edition}).encode())

    def discard(self) -> None:
        """The bytes first: memory of bytes that are gone does no harm, bytes under a wrong memory would."""
        self.file.unlink(missing_ok=True)
        self.memory.unlink(missing_ok=True)


@dataclass
class _Download:
    """Fills a partial file, in as many attempts as patience allows."""

    entry: Entry
    partial: _Partial
    say: Callable[[str], None]
    progress: Progress | None
    patience: Patience
    _answered: bool = field(default=False, init=False)

    def run(self) -> None:
        try:
            self._persist()
        except KeyboardInterrupt:
            self.say(f"Stopped; {self._keep()}")
            raise
        except OSError as error:  # of the disk: those of the network do not come so far
            raise ReportedError(f"{self.partial.path} cannot be written: {error.strerror}; {self._keep()}") from error

    def _persist(self) -> None:
        for wait_s in (*self.patience.waits_s, None):
            try:
                self._attempt()
                return
            except _Dropped as dropped:
                if wait_s is None:
                    attempts = len(self.patience.waits_s) + 1
                    raise ReportedError(
                        f"{self.partial.url} could not be fetched, the last of {attempts} times because {dropped}; "
                        f"{self._keep()}"
                    ) from dropped
                self.say(f"Broken off, because {dropped}: next attempt in {wait_s:g} s.")
                time.sleep(wait_s)

    def _attempt(self) -> None:
        if self.partial.bytes and self.partial.bytes == self.entry.bytes:
            return  # stopped between the last byte and the check
        with self._open() as response:
            rest = response.status == PARTIAL_CONTENT
            self._require_plausible(response, self.partial.bytes if rest else 0)
            if rest and not self._goes_on(response):
                self.partial.discard()
                raise _Dropped("the file at the source has changed")
            if not rest:
                if self.partial.bytes:
                    self.say("The server begins anew: the file has changed, or it cannot send the rest alone.")
                self.partial.begin(_edition(response))
            self._receive(response)

    def _open(self) -> http.client.HTTPResponse:
        request = urllib.request.Request(self.partial.url, headers=self._headers())
        try:
            response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self.patience.timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, error.reason) from error
        except urllib.error.URLError as error:
            if self._answered:
                raise _Dropped(f"the server cannot be reached any more ({error.reason})") from error
            raise ReportedError(f"{self.partial.url} cannot be reached: {error.reason}; {self._keep()}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Dropped(f"the server hung up without an answer ({error or type(error).__name__})") from error
        self._answered = True
        return response

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": "charloom", "Accept-Encoding": "identity"}
        edition = self.partial.edition()
        if self.partial.bytes and edition:
            headers |= {"Range": f"bytes={self.partial.bytes}-", "If-Range": edition}
        return headers

    def _refused(self, status: int, reason: str) -> Exception:
        if status == RANGE_NOT_SATISFIABLE and self.partial.bytes:
            self.partial.discard()
            return _Dropped("the server has nothing to go on with")
        answer = f"the server answered {status} {' '.join(reason.split())}"
        if status in WORTH_A_RETRY:
            return _Dropped(answer)
        return ReportedError(f"{self.partial.url} cannot be fetched: {answer}.")

    def _goes_on(self, response: http.client.HTTPResponse) -> bool:
        """Whether the part is what follows our bytes: not every server heeds If-Range."""
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {self.partial.bytes}-")
        return begins and _edition(response) in (None, self.partial.edition())

    def _receive(self, response: http.client.HTTPResponse) -> None:
        done = self.partial.file.stat().st_size if self.partial.file.exists() else 0
        total = None if response.length is None else done + response.length
        with self.partial.file.open("ab") as file:
            for block in _blocks(response):
                file.write(block)
                done += len(block)
                if self.progress:
                    self.progress(done, total or self.entry.bytes)
            file.flush()
            os.fsync(file.fileno())
        if done < (total or self.entry.bytes or 0):
            raise _Dropped("the connection was lost")

    def _require_plausible(self, response: http.client.HTTPResponse, begin: int) -> None:
        """Refuse before the first byte: a portal's login page, say, that answers for every address."""
        wrong = None
        if response.headers.get_content_type() == "text/html":
            wrong = "a web page"
        elif response.length is not None and self.entry.bytes not in (None, begin + response.length):
            wrong = f"a file of {begin + response.length:,} bytes, not {self.entry.bytes:,},"
        if wrong:
            raise ReportedError(f"{self.partial.url} has {wrong} where {self.entry.name} was: nothing was downloaded.")

    def _keep(self) -> str:
        """Leave what can be gone on from, throw away what cannot, and say which."""
        kept = self.partial.bytes
        if not kept:
            self.partial.discard()
            return "nothing is kept."
        return f"{kept:,} bytes are kept, and the same command goes on from there."


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What arrives, as it arrives: with read1 a break loses nothing that was received before it."""
    try:
        while block := response.read1(BLOCK_BYTES):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"the connection was lost ({error or type(error).__name__})") from error


def _edition(response: http.client.HTTPResponse) -> str | None:
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):  # a weak one does not promise the same bytes
        return etag
    return response.headers.get("Last-Modified")


def _announce(entry: Entry, partial: _Partial, say: Callable[[str], None]) -> None:
    size = "a file of unknown size" if entry.bytes is None else f"{entry.bytes:,} bytes"
    going_on = f", going on from {partial.bytes:,}" if partial.bytes else ""
    say(f"{entry.name}: {entry.origin}.")
    say(f"Licence: {entry.licence}.")
    if entry.note:
        say(entry.note)
    say(f"Fetching {size} from {entry.url}{going_on}.")


def _accept(entry: Entry, partial: _Partial, path: Path) -> None:
    """Give the file its name, if it is what the catalogue says."""
    if wrong := entry.difference(partial.file):
        partial.discard()
        raise ReportedError(f"{entry.url} sent another file than {entry.name}: {wrong}; it was thrown away.")
    partial.file.replace(path)
    partial.memory.unlink(missing_ok=True)
    flush_folder(path.parent)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two downloads would write into one partial file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReportedError(f"Another process is fetching into {folder}: wait for it.") from None
        yield
    finally:
        os.close(descriptor)

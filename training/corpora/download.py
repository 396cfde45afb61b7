"""Downloads a corpus of the catalogue: resumes after an interruption, and verifies the bytes before it names the file.

Does not know the command line or the content of the text.
"""

import fcntl
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from training.corpora.catalogue import Entry
from training.corpora.partial import Partial
from training.errors import ReportedError

BLOCK_BYTES = 1 << 16
RETRIED_STATUSES = {408, 429, 500, 502, 503, 504}
RANGE_NOT_SATISFIABLE = 416
PARTIAL_CONTENT = 206

Progress = Callable[[int, int | None], None]
"""(bytes so far, total bytes or None if the server does not say)."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for a server's next bytes, and before each new attempt."""

    timeout_s: float = 30.0
    waits_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)


RETRIES = RetryPolicy()


def fetch(
    entry: Entry,
    folder: Path,
    *,
    say: Callable[[str], None],
    progress: Progress | None = None,
    retries: RetryPolicy = RETRIES,
) -> Path:
    """Download the corpus into `folder`, unless the verified file is already there, and return its path.

    Args:
        entry: The corpus.
        folder: Created if missing.
        say: Called with each sentence for the user: licence, origin and size before the first byte, then the result.
        progress: Called after each block.
        retries: Timeout and pauses between attempts.

    Raises:
        ReportedError: The corpus has no address, another file has its name, the server cannot be reached, refuses or
            sends other bytes, or the disk is full. Valid bytes are kept for the next call.
    """
    if entry.url is None:
        raise ReportedError(f"{entry.name} cannot be downloaded: {entry.note}")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        path = folder / entry.file
        if path.exists():
            if wrong := entry.difference(path):
                raise ReportedError(f"{path} is not the catalogue's {entry.name}: {wrong}; move it to download that.")
            say(f"{path} already exists: {entry.verification}. Nothing was downloaded.")
        else:
            partial = Partial(path, entry.url)
            _announce(entry, partial, say)
            _Download(entry, partial, say, progress, retries).run()
            _accept(entry, partial)
            say(f"{path} is complete: {path.stat().st_size:,} bytes, {entry.verification}.")
    return path


class _Interrupted(Exception):
    """The transfer broke off in a way that another attempt may fix."""


@dataclass
class _Download:
    """Fills a partial file, in several attempts if necessary."""

    entry: Entry
    partial: Partial
    say: Callable[[str], None]
    progress: Progress | None
    retries: RetryPolicy
    _answered: bool = field(default=False, init=False)

    def run(self) -> None:
        try:
            self._try_repeatedly()
        except KeyboardInterrupt:
            self.say(f"Stopped; {self._keep()}")
            raise
        except OSError as error:  # of the disk: those of the network are caught before
            raise ReportedError(f"{self.partial.path} cannot be written: {error.strerror}; {self._keep()}") from error

    def _try_repeatedly(self) -> None:
        for wait_s in (*self.retries.waits_s, None):
            try:
                self._attempt()
                return
            except _Interrupted as interrupted:
                if wait_s is None:
                    attempts = len(self.retries.waits_s) + 1
                    raise ReportedError(
                        f"{self.partial.url} could not be downloaded in {attempts} attempts. The last one failed "
                        f"because {interrupted}; {self._keep()}"
                    ) from interrupted
                self.say(f"Interrupted, because {interrupted}: next attempt in {wait_s:g} s.")
                time.sleep(wait_s)

    def _attempt(self) -> None:
        if self.partial.bytes and self.partial.bytes == self.entry.bytes:
            return  # an earlier call was stopped between the last byte and the verification
        with self._open() as response:
            is_rest = response.status == PARTIAL_CONTENT
            self._require_plausible(response, self.partial.bytes if is_rest else 0)
            if is_rest and not self._continues(response):
                self.partial.discard()
                raise _Interrupted("the file on the server has changed")
            if not is_rest:
                if self.partial.bytes:
                    self.say("The download starts again: the file has changed, or the server cannot resume.")
                self.partial.begin(_validator(response))
            self._receive(response)

    def _open(self) -> http.client.HTTPResponse:
        request = urllib.request.Request(self.partial.url, headers=self._headers())
        try:
            response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self.retries.timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, error.reason) from error
        except urllib.error.URLError as error:
            if self._answered:
                raise _Interrupted(f"the server can no longer be reached ({error.reason})") from error
            raise ReportedError(f"{self.partial.url} cannot be reached: {error.reason}; {self._keep()}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(f"the server did not answer ({error or type(error).__name__})") from error
        self._answered = True
        return response

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": "charloom", "Accept-Encoding": "identity"}
        validator = self.partial.validator()
        if self.partial.bytes and validator:
            headers |= {"Range": f"bytes={self.partial.bytes}-", "If-Range": validator}
        return headers

    def _refused(self, status: int, reason: str) -> Exception:
        if status == RANGE_NOT_SATISFIABLE and self.partial.bytes:
            self.partial.discard()
            return _Interrupted("the server has no bytes after the received ones")
        answer = f"the server answered {status} {' '.join(reason.split())}"
        if status in RETRIED_STATUSES:
            return _Interrupted(answer)
        return ReportedError(f"{self.partial.url} cannot be downloaded: {answer}.")

    def _continues(self, response: http.client.HTTPResponse) -> bool:
        """Whether the response begins after the received bytes of the same version: some servers ignore If-Range."""
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {self.partial.bytes}-")
        return begins and _validator(response) in (None, self.partial.validator())

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
            raise _Interrupted("the connection was lost")

    def _require_plausible(self, response: http.client.HTTPResponse, begin: int) -> None:
        """Refuse before the first byte, for example the login page of a network that answers for every address."""
        wrong = None
        if response.headers.get_content_type() == "text/html":
            wrong = "a web page"
        elif response.length is not None and self.entry.bytes not in (None, begin + response.length):
            wrong = f"a file of {begin + response.length:,} bytes, not {self.entry.bytes:,},"
        if wrong:
            raise ReportedError(f"{self.partial.url} has {wrong} instead of {self.entry.name}: nothing was downloaded.")

    def _keep(self) -> str:
        """Keep the bytes if the download can resume from them, else discard them; returns the end of a message."""
        kept = self.partial.bytes
        if not kept:
            self.partial.discard()
            return "nothing is kept."
        return f"{kept:,} bytes are kept, and the same command resumes after them."


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it arrives: read1 returns all bytes that were received before an interruption."""
    try:
        while block := response.read1(BLOCK_BYTES):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(f"the connection was lost ({error or type(error).__name__})") from error


def _validator(response: http.client.HTTPResponse) -> str | None:
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):  # a weak one does not promise the same bytes
        return etag
    return response.headers.get("Last-Modified")


def _announce(entry: Entry, partial: Partial, say: Callable[[str], None]) -> None:
    size = "a file of unknown size" if entry.bytes is None else f"{entry.bytes:,} bytes"
    resuming = f", resuming after {partial.bytes:,}" if partial.bytes else ""
    say(f"{entry.name}: {entry.origin}.")
    say(f"Licence: {entry.licence}.")
    if entry.note:
        say(entry.note)
    say(f"Downloading {size} from {entry.url}{resuming}.")


def _accept(entry: Entry, partial: Partial) -> None:
    """Finish the download if the file is the catalogue's."""
    if wrong := entry.difference(partial.file):
        partial.discard()
        raise ReportedError(f"{entry.url} sent another file than {entry.name}: {wrong}; it was deleted.")
    partial.finish()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Allow one download at a time: two would write into the same partial file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReportedError(f"Another process is downloading into {folder}: wait until it ends.") from None
        yield
    finally:
        os.close(descriptor)

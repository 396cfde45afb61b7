"""The received bytes of an unfinished download, kept on disk so that a later call can resume it.

Beside the final file FILE are `.FILE.partial` (its first bytes) and `.FILE.partial.json` (their address and validator).
Does not know HTTP requests.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.files import flush_folder, write_atomically


@dataclass(frozen=True)
class Partial:
    """The first bytes of the file at `url`, which will become `path`."""

    path: Path
    url: str

    @property
    def file(self) -> Path:
        """The received bytes."""
        return self.path.with_name(f".{self.path.name}.partial")

    @property
    def metadata(self) -> Path:
        """Address and validator of the received bytes."""
        return self.path.with_name(f".{self.path.name}.partial.json")

    @property
    def bytes(self) -> int:
        """The number of bytes from which the download can resume: 0 without a validator."""
        return self.file.stat().st_size if self.file.exists() and self.validator() else 0

    def validator(self) -> str | None:
        """The ETag or date of the received bytes, by which the server recognises their version of the file."""
        if not self.metadata.exists():
            return None
        try:
            fields: dict[str, Any] = json.loads(self.metadata.read_bytes())
            return fields["validator"] if fields["url"] == self.url else None
        except (ValueError, KeyError, TypeError):  # damaged or written by another program
            return None

    def begin(self, validator: str | None) -> None:
        """Discard the received bytes; the next ones belong to the version with this validator."""
        self.discard()
        write_atomically(self.metadata, json.dumps({"url": self.url, "validator": validator}).encode())

    def discard(self) -> None:
        """Remove the bytes first: without bytes the metadata is harmless, but not the other way round."""
        self.file.unlink(missing_ok=True)
        self.metadata.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the complete file its final name."""
        self.file.replace(self.path)
        self.metadata.unlink(missing_ok=True)
        flush_folder(self.path.parent)

"""The corpora of the blog post "The Unreasonable Effectiveness of Recurrent Neural Networks" (Karpathy, 2015).

Lists where each one comes from, its licence, and its size and checksum; does not download. A size or checksum of None
means that no copy of the file was available to take it from.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

CHAR_RNN = "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"
NLTK_DATA = "5db857e6f7df11eabb5e5665836db9ec8df07e28"
STACKS_PROJECT = "dc48e3482856e140ba2f6584f44666cd0d985d69"  # at the date of the blog post


@dataclass(frozen=True)
class Entry:
    """One corpus: its source, licence and checksum.

    `bytes` and `sha256` belong to the file at `url`, which may be an archive.
    """

    name: str  # also the name of the preset of the same experiment
    file: str  # name of the downloaded file
    url: str | None  # None: its licence does not allow copies
    bytes: int | None
    sha256: str | None
    licence: str
    origin: str
    note: str = ""  # instructions for training on it

    @property
    def verification(self) -> str:
        """How a file without a `difference` was verified, as part of a sentence."""
        if self.sha256:
            return "its sha256 is correct"
        return "no checksum is known, so it may differ from the corpus of the post"

    def difference(self, file: Path) -> str | None:
        """How the file differs from this corpus, as part of a sentence; None if it does not."""
        size = file.stat().st_size
        if not size:
            return "it is empty"
        if self.bytes not in (None, size):
            return f"it has {size:,} bytes, not {self.bytes:,}"
        if self.sha256:
            with file.open("rb") as content:
                sha256 = hashlib.file_digest(content, "sha256").hexdigest()
            if sha256 != self.sha256:
                return f"its sha256 is {sha256}, not {self.sha256}"
        return None


_ENTRIES = (
    Entry(
        name="tiny",
        file="tinyshakespeare.txt",
        url=f"https://raw.githubusercontent.com/karpathy/char-rnn/{CHAR_RNN}/data/tinyshakespeare/input.txt",
        bytes=1_115_394,
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        licence="public domain (Shakespeare; the Moby edition)",
        origin="the sample corpus that comes with char-rnn: the first quarter of the Shakespeare below",
    ),
    Entry(
        name="names",
        file="names.zip",
        url=f"https://raw.githubusercontent.com/nltk/nltk_data/{NLTK_DATA}/packages/corpora/names.zip",
        bytes=21_326,
        sha256="0eec7e958b34982662b8f05824ae64642dea097b08057ade65c252191c5fe7ca",
        licence="(c) 1991 Mark Kantrowitz, additions by Bill Ross; any use with credit, copies with their README",
        origin="the 7,944 first names of the CMU AI repository that the post links, as NLTK packs them",
        note="The archive also contains a README: unpack it (python3 -m zipfile -e corpora/names.zip corpora) "
        "and train on --corpus 'corpora/names/*.txt' --split-by line.",
    ),
    Entry(
        name="paul-graham",
        file="paul-graham.txt",
        url=None,
        bytes=None,
        sha256=None,
        licence="(c) Paul Graham, all rights reserved",
        origin="the essays at paulgraham.com",
        note="copies of the essays may not be distributed: for your own use, save the text of the ones you want from "
        "the author's site into one folder and give that folder to --corpus.",
    ),
    Entry(
        name="shakespeare",
        file="shakespeare_input.txt",
        url="https://cs.stanford.edu/people/karpathy/char-rnn/shakespeare_input.txt",
        bytes=4_573_338,
        sha256="59a0ad62833b2e15ec811c548618876359e902717431236e52699a0e2bc253ca",
        licence="public domain (Shakespeare; the Moby edition of 1992, markup by Jon Bosak)",
        origin="the 37 plays as one file, by the author of the post",
    ),
    Entry(
        name="wikipedia",
        file="enwik8.zip",
        url="http://mattmahoney.net/dc/enwik8.zip",
        bytes=36_445_475,
        sha256="547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
        licence="CC BY-SA 3.0 and GFDL (the authors of Wikipedia)",
        origin="the Hutter Prize's 100 MB: the first 10^8 bytes of the English Wikipedia of March 2006, as XML",
        note="Train on the archive without unpacking it. Published results are per byte, so add --unit byte.",
    ),
    Entry(
        name="latex",
        file="stacks-project.zip",
        url=f"https://github.com/stacks/stacks-project/archive/{STACKS_PROJECT}.zip",
        bytes=None,
        sha256=None,
        licence="GFDL 1.2 (the authors of the Stacks Project)",
        origin="the open book on algebraic geometry at the date of the post, 21 May 2015: 16 MB of LaTeX",
        note="GitHub creates the archive for each download. It also holds programs: unpack it (python3 -m zipfile -e "
        f"corpora/stacks-project.zip corpora) and train on --corpus 'corpora/stacks-project-{STACKS_PROJECT}/*.tex'.",
    ),
    Entry(
        name="linux",
        file="linux_input.txt",
        url="https://cs.stanford.edu/people/karpathy/char-rnn/linux_input.txt",
        bytes=None,
        sha256=None,
        licence="GPL 2.0 (the authors of Linux)",
        origin="6.2 MB of Linux sources in C, published with the post, which trained on 474 MB that were not published",
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}

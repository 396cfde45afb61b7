"""text <-> ids, by the vocabulary of one model. The one place that knows units: whoever asks it counts characters.

In a char model a symbol is a character. In a byte model it is a byte, and a character is up to four of them (UTF-8);
bytes that can never become a character come out as U+FFFD, one for as many as Python's own decoder replaces by one.
"""

import codecs
import unicodedata
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.model.manifest import Manifest

RESERVED = 0
"""Nothing came before, or a symbol outside the vocabulary. Never sampled."""
REPLACEMENT = "\ufffd"
NEVER_A_CHARACTER = 0xFF  # no byte of any UTF-8
MAX_BYTES_PER_CHAR = 4  # of UTF-8; and no more are replaced by one U+FFFD


class Decoder(Protocol):
    """What one stream has sampled, call by call -> whole characters."""

    def read(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
        """The characters that these symbols complete, and the logprob of each."""


class TextCodec:
    """Encodes prompts and decodes what was sampled."""

    def __init__(self, manifest: Manifest) -> None:
        self._is_bytes = manifest.unit == "byte"
        self._normalization = manifest.normalization
        self._ids = {symbol: id_ for id_, symbol in enumerate(manifest.vocabulary) if symbol is not None}
        # By id; a unit has one or the other.
        self._characters = [REPLACEMENT, *(symbol for symbol in self._ids if isinstance(symbol, str))]
        self._bytes = bytes([NEVER_A_CHARACTER, *(symbol for symbol in self._ids if isinstance(symbol, int))])
        self._keeps_cr = "\r" in self._ids or ord("\r") in self._ids
        self.max_symbols_per_char = MAX_BYTES_PER_CHAR if self._is_bytes else 1

    def normalize(self, text: str) -> str:
        """Line ends and normal form as in the corpus, for a prompt or a stop string.

        Training makes every CR LF and CR of characters an LF, so only a vocabulary with CR has seen one.
        """
        if not self._keeps_cr:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return unicodedata.normalize("NFC", text) if self._normalization == "NFC" else text

    def encode(self, text: str) -> NDArray[np.int32]:
        """Ids [symbols] of a normalised text; a symbol outside the vocabulary becomes `RESERVED`."""
        symbols = self._symbols_of(text)
        return np.fromiter((self._ids.get(symbol, RESERVED) for symbol in symbols), np.int32, len(symbols))

    def unknown_chars(self, text: str) -> int:
        """How many characters of a normalised text are outside the vocabulary, be it by a single byte."""
        unknown = {
            character
            for character in set(text)
            if any(symbol not in self._ids for symbol in self._symbols_of(character))
        }
        return sum(character in unknown for character in text)

    def chars_in(self, text: str, symbols: int) -> int:
        """How many whole characters of a normalised text its first symbols are."""
        if not self._is_bytes:
            return symbols
        return len(text.encode(errors="surrogatepass")[:symbols].decode(errors="ignore"))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of sampled ids, when nothing more will come."""
        if self._is_bytes:
            return bytes(self._bytes[id_] for id_ in ids).decode(errors="replace")
        return "".join(self._characters[id_] for id_ in ids)

    def decoder(self) -> Decoder:
        """For the symbols of one stream, as they come."""
        return _BytesDecoder(self._bytes) if self._is_bytes else _CharactersDecoder(self)

    def _symbols_of(self, text: str) -> str | bytes:
        # Half of a surrogate pair is no character, but JSON can hold one.
        return text.encode(errors="surrogatepass") if self._is_bytes else text


class _CharactersDecoder:
    """Each symbol is a character."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec

    def read(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
        return self._codec.decode(symbols.tolist()), logprobs


class _BytesDecoder:
    """Each symbol is a byte; one that may yet become part of a character is held back."""

    def __init__(self, bytes_: bytes) -> None:
        """`bytes_[id]` is the byte of an id."""
        self._bytes = bytes_
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held: list[float] = []  # logprobs of the bytes that are held back

    def read(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
        text, sums = "", list[float]()
        for symbol, logprob in zip(symbols.tolist(), logprobs.tolist(), strict=True):
            self._held.append(logprob)
            if characters := self._utf8.decode(self._bytes[symbol : symbol + 1]):
                text += characters
                used = len(self._held) - len(self._utf8.getstate()[0])
                # Several at once: the first sequence was given up, and what follows it are single bytes.
                first = used - len(characters) + 1
                sums += [sum(self._held[:first]), *self._held[first:used]]
                del self._held[:used]
        return text, np.array(sums, np.float32)

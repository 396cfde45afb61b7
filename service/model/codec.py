"""Text <-> ids, by the vocabulary of one model. The only module that knows units: its callers count characters.

In a char model a symbol is a character. In a byte model it is a byte, and a character is up to four bytes of UTF-8;
invalid bytes are decoded to U+FFFD as by Python's decoder.
"""

import codecs
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from service.model.guesses import NO_GUESSES, Guesses
from service.model.manifest import Manifest

RESERVED = 0
"""The id that stands for the start of a text and for a symbol outside the vocabulary. Never sampled."""
REPLACEMENT = "\ufffd"
INVALID_BYTE = 0xFF  # never occurs in UTF-8
MAX_BYTES_PER_CHAR = 4  # in UTF-8; one U+FFFD replaces at most as many


class Decoded(NamedTuple):
    """Consecutive characters of a text."""

    text: str
    logprobs: NDArray[np.float32]  # [characters]; a character's is the sum of its symbols'
    guesses: Guesses = NO_GUESSES  # [characters, guesses] before the first symbol of each character


class Decoder(Protocol):
    """Decodes the symbols of one stream, call by call, into complete characters."""

    def read(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES) -> Decoded:
        """The characters that these symbols complete. `guesses` are those before each symbol."""


class TextCodec:
    """Encodes prompts and decodes sampled ids."""

    def __init__(self, manifest: Manifest) -> None:
        self._is_bytes = manifest.unit == "byte"
        self._normalization = manifest.normalization
        self._ids = {symbol: id_ for id_, symbol in enumerate(manifest.vocabulary) if symbol is not None}
        # Indexed by id; the vocabulary of a char model has no bytes and that of a byte model no characters.
        self._characters = [REPLACEMENT, *(symbol for symbol in self._ids if isinstance(symbol, str))]
        self._bytes = bytes([INVALID_BYTE, *(symbol for symbol in self._ids if isinstance(symbol, int))])
        self._keeps_cr = "\r" in self._ids or ord("\r") in self._ids
        self.max_symbols_per_char = MAX_BYTES_PER_CHAR if self._is_bytes else 1

    def normalize(self, text: str) -> str:
        """Convert a prompt or a stop string to the line ends and the normal form of the corpus.

        Training converts CR LF and CR to LF unless it keeps the text as it is: then the vocabulary has a CR.
        """
        if not self._keeps_cr:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return unicodedata.normalize("NFC", text) if self._normalization == "NFC" else text

    def encode(self, text: str) -> NDArray[np.int32]:
        """Ids [symbols] of a normalised text; a symbol outside the vocabulary becomes `RESERVED`."""
        symbols = self._symbols_of(text)
        return np.fromiter((self._ids.get(symbol, RESERVED) for symbol in symbols), np.int32, len(symbols))

    def unknown_chars(self, text: str) -> int:
        """The number of characters of a normalised text with at least one symbol outside the vocabulary."""
        unknown = {
            character
            for character in set(text)
            if any(symbol not in self._ids for symbol in self._symbols_of(character))
        }
        return sum(character in unknown for character in text)

    def chars_in(self, text: str, symbols: int) -> int:
        """The number of complete characters in the first `symbols` symbols of a normalised text."""
        if not self._is_bytes:
            return symbols
        return len(text.encode(errors="surrogatepass")[:symbols].decode(errors="ignore"))

    def char_ends(self, text: str) -> NDArray[np.int32]:
        """For each character of a normalised text, the number of symbols up to its end [characters]."""
        if not self._is_bytes:
            return np.arange(1, len(text) + 1, dtype=np.int32)
        data = np.frombuffer(text.encode(errors="surrogatepass"), np.uint8)
        starts = np.flatnonzero((data & 0xC0) != 0x80)  # all bytes of UTF-8 but continuation bytes
        return np.append(starts, len(data))[1:].astype(np.int32)

    def symbol_text(self, id_: int) -> str:
        """One symbol as text: U+FFFD for `RESERVED`, and `\\xNN` for a byte that is not ASCII."""
        if id_ == RESERVED:
            return REPLACEMENT
        if self._is_bytes:
            return self._bytes[id_ : id_ + 1].decode("ascii", errors="backslashreplace")
        return self._characters[id_]

    @cached_property
    def symbol_texts(self) -> tuple[str, ...]:
        """Every symbol as text, by id (see `symbol_text`)."""
        return tuple(self.symbol_text(id_) for id_ in range(len(self._ids) + 1))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of all sampled ids of a stream; an incomplete character at the end becomes U+FFFD."""
        if self._is_bytes:
            return bytes(self._bytes[id_] for id_ in ids).decode(errors="replace")
        return "".join(self._characters[id_] for id_ in ids)

    def decoder(self) -> Decoder:
        """A decoder for the symbols of one stream as they are sampled."""
        return _BytesDecoder(self._bytes) if self._is_bytes else _CharactersDecoder(self)

    def prompt_decoder(self, text: str) -> Decoder:
        """A decoder for the symbols of a normalised prompt, which keeps characters outside the vocabulary."""
        return _PromptDecoder(text, self.char_ends(text))

    def _symbols_of(self, text: str) -> str | bytes:
        # JSON can hold half of a surrogate pair, which UTF-8 cannot.
        return text.encode(errors="surrogatepass") if self._is_bytes else text


class _CharactersDecoder:
    """Each symbol is a character."""

    def __init__(self, codec: TextCodec) -> None:
        self._codec = codec

    def read(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES) -> Decoded:
        return Decoded(self._codec.decode(symbols.tolist()), logprobs, guesses)


class _BytesDecoder:
    """Each symbol is a byte; the bytes of an incomplete character are held until it is complete."""

    def __init__(self, bytes_: bytes) -> None:
        """`bytes_[id]` is the byte of an id."""
        self._bytes = bytes_
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held: list[float] = []  # logprobs of the bytes that are held
        self._guesses = _GuessesOfCharacters()

    def read(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES) -> Decoded:
        text, sums, starts, start = "", list[float](), list[int](), 0
        for symbol, logprob in zip(symbols.tolist(), logprobs.tolist(), strict=True):
            self._held.append(logprob)
            if characters := self._utf8.decode(self._bytes[symbol : symbol + 1]):
                text += characters
                used = len(self._held) - len(self._utf8.getstate()[0])
                # Several characters: an invalid sequence, replaced by U+FFFD, and then single bytes.
                first = used - len(characters) + 1
                sums += [sum(self._held[:first]), *self._held[first:used]]
                starts += [start, *range(start + first, start + used)]
                start += used
                del self._held[:used]
        return Decoded(text, np.array(sums, np.float32), self._guesses.read(guesses, starts, start))


class _PromptDecoder:
    """The symbols are those of a known text; a character's logprob is the sum of its symbols'."""

    def __init__(self, text: str, ends: NDArray[np.int32]) -> None:
        """`ends` [characters] counts the symbols from the start of the text to the end of each character."""
        self._text = text
        self._ends = ends
        self._read_chars = 0
        self._held = np.zeros(0, np.float32)  # logprobs of the symbols of a character that is not complete
        self._guesses = _GuessesOfCharacters()

    def read(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES) -> Decoded:
        held = np.concatenate([self._held, logprobs])
        first = self._read_chars
        start = self._ends[first - 1] if first else 0
        self._read_chars = int(np.searchsorted(self._ends, start + len(held), side="right"))
        ends = self._ends[first : self._read_chars] - start
        if not len(ends):
            self._held = held
            return Decoded("", np.zeros(0, np.float32), self._guesses.read(guesses, [], 0))
        starts = np.append(0, ends[:-1])
        sums = np.add.reduceat(held[: ends[-1]], starts, dtype=np.float64).astype(np.float32)
        self._held = held[ends[-1] :]
        text = self._text[first : self._read_chars]
        return Decoded(text, sums, self._guesses.read(guesses, starts.tolist(), int(ends[-1])))


class _GuessesOfCharacters:
    """The guesses before the first symbol of each character. Holds those of symbols whose character is incomplete."""

    def __init__(self) -> None:
        self._held: Guesses | None = None

    def read(self, guesses: Guesses, starts: list[int], used: int) -> Guesses:
        """Those of the characters that are complete.

        Args:
            guesses: those before each new symbol, or `NO_GUESSES`.
            starts: the index of each complete character's first symbol among the held and new ones.
            used: the symbols of all complete characters.
        """
        if not guesses.shape[1]:
            return NO_GUESSES
        held = guesses if self._held is None else np.concatenate([self._held, guesses])
        self._held = held[used:]
        return held[np.array(starts, np.intp)]

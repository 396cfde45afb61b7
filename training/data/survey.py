"""Reads every file of a corpus once before any is encoded, and reports all unreadable files together.

For a file in another encoding the report contains a guess and a line of its text. Only `--encoding auto` uses guesses.
"""

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from training.config import TrainConfig
from training.data.encodings import AUTO, Guess, decoder_of, guess, wide_encoding_of
from training.data.kinds import kind_of
from training.data.reader import Source, SourceReader, WrongEncoding
from training.data.selection import Selection
from training.data.sources import ALL, LISTED, sources_and_notes
from training.errors import InputError

UNREADABLE = "unreadable"  # the category of a file whose bytes cannot be read either

_WIDE = re.compile("utf.?(16|32)", re.IGNORECASE)  # encodings of ASCII with NUL bytes
_LATIN_1 = "iso8859-1"
_C1 = re.compile("[\x80-\x9f]")


@dataclass(frozen=True)
class Fault:
    """A file that cannot be read as text."""

    display_path: str
    reason: str  # continues a sentence that begins with the path: "is a PNG image"
    category: str  # faults are counted by it
    guess: Guess | None = None


@dataclass
class Survey:
    """The readable files in order, and the unreadable ones."""

    readers: list[SourceReader] = field(default_factory=list)  # at their end, except those of pipes
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    beyond_ascii: bool = False  # whether a file is UTF-8 and not only ASCII

    @property
    def sources(self) -> list[Source]:
        """The readable files."""
        return [reader.source for reader in self.readers]


def survey(paths: Sequence[str], config: TrainConfig, selection: Selection) -> Survey:
    """Read every file of the entries `paths` of --corpus once.

    Raises:
        InputError: A file cannot be read as text and the selection does not skip such files, or no other is left.
    """
    require_encoding(config)  # before any file is read
    found, notes = sources_and_notes(paths, selection)
    result = survey_of(found, config, selection)
    if not result.readers:
        raise InputError(_refusal(result, len(found), config))
    return replace(result, notes=[*notes, *result.notes])


def require_encoding(config: TrainConfig) -> None:
    """Check that there is an encoding of this name.

    Raises:
        InputError: There is none.
    """
    if config.unit == "char" and config.encoding != AUTO:
        decoder_of(config.encoding)


def survey_of(found: Sequence[Source], config: TrainConfig, selection: Selection = ALL) -> Survey:
    """Read every source once. The result may have none that is readable.

    Raises:
        InputError: A source cannot be read as text and the selection does not skip such files.
    """
    result = Survey()
    for source in found:
        if source.repeatable:
            _read(source, config, result)
        else:  # a pipe is only read when it is encoded
            encoding = "utf-8" if config.encoding == AUTO else None
            result.readers.append(SourceReader(replace(source, encoding=encoding)))
    if result.faults and not selection.skip_unreadable:
        raise InputError(_refusal(result, len(found), config))
    if result.faults:
        result.notes.append(f"Left out because of --skip-unreadable: {_counted(result.faults)}:")
        result.notes += _lines(result.faults)
    return result


def _read(source: Source, config: TrainConfig, result: Survey) -> None:
    """Add a file to the readable or to the unreadable ones."""
    try:
        if config.unit == "byte":
            reader = SourceReader(source)
            reader.consume()
            result.readers.append(reader)
        elif isinstance(read := _read_text(source, config, result), Fault):
            result.faults.append(read)
        else:
            result.readers.append(read)
    except InputError as error:
        reason = str(error).removeprefix(f"--corpus {source.display_path} ").removesuffix(".")
        result.faults.append(Fault(source.display_path, reason, UNREADABLE))


def _read_text(source: Source, config: TrainConfig, result: Survey) -> SourceReader | Fault:
    encoding = "utf-8" if config.encoding == AUTO else config.encoding
    reader = SourceReader(replace(source, encoding=encoding))
    try:
        if _decodes(reader, encoding, result):
            return reader
        fault = "it holds NUL bytes"
    except WrongEncoding as error:
        fault = error.fault
    if kind := _kind(reader):
        return Fault(source.display_path, f"is {kind}", re.split("[:,(]", kind)[0].strip())
    if _has_nuls(reader.head, encoding) and not wide_encoding_of(reader.head):
        return Fault(source.display_path, "is a binary file: it holds NUL bytes", "binary file")
    guessed = guess(source.blocks())
    if guessed is None:
        reason = f"is not {encoding.upper()}: {fault}, and no other known encoding fits"
        return Fault(source.display_path, reason, "unknown")
    if config.encoding == AUTO:
        reader = SourceReader(replace(source, encoding=guessed.encoding))
        _decodes(reader, guessed.encoding, result)
        line = f"its line {guessed.line_number} is '{guessed.line}'"
        result.notes.append(f"{source.display_path} is read as {guessed.encoding}: {line}.")
        return reader
    reason = f"is not {encoding.upper()}: {fault}; {guessed.sentence}"
    return Fault(source.display_path, reason, f"{guessed.encoding} text", guessed)


def _decodes(reader: SourceReader, encoding: str, result: Survey) -> bool:
    """Read a file to its end in this encoding; False if it begins like a binary file.

    One pass only: to start again in a compressed archive is to decompress it again.

    Raises:
        WrongEncoding: The file is not written in this encoding.
    """
    is_latin_1 = codecs.lookup(encoding).name == _LATIN_1
    controls, is_ascii = 0, True
    for text in reader.text(encoding):
        if _kind(reader) or _has_nuls(reader.head, encoding):
            return False
        is_ascii = is_ascii and text.isascii()
        controls += len(_C1.findall(text)) if is_latin_1 else 0
    _note_doubts(reader, encoding, controls, result)
    if codecs.lookup(encoding).name == "utf-8":
        result.beyond_ascii |= not is_ascii
    return True


def _note_doubts(reader: SourceReader, encoding: str, controls: int, result: Survey) -> None:
    """Add a note if the file decodes in this encoding but looks like another one."""
    display_path = reader.source.display_path
    if controls:
        result.notes.append(
            f"{display_path} holds {controls:,} bytes of 0x80 to 0x9F, which {encoding} reads as control characters: "
            f"in cp1252 they are quotes, dashes and the like (--encoding cp1252), in other encodings letters."
        )
    if (
        codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig")
        and not reader.head.isascii()
        and _is_utf_8(reader.head)
    ):
        result.notes.append(
            f"{display_path} looks like UTF-8, but is read as {encoding}: is that the right --encoding?"
        )


def _kind(reader: SourceReader) -> str | None:
    return reader.source.kind or (None if reader.source.start else kind_of(reader.head))


def _has_nuls(head: bytes, encoding: str) -> bool:
    """Whether there are NUL bytes that no text holds; a few in a UTF-8 text only get a note when it is encoded."""
    if b"\0" not in head or _WIDE.match(encoding):
        return False
    return wide_encoding_of(head) is not None or not _is_utf_8(head)


def _is_utf_8(head: bytes) -> bool:
    try:
        decoder_of("utf-8").decode(head)  # incremental, because the head may end within a character
    except UnicodeDecodeError:
        return False
    return True


def _refusal(result: Survey, files: int, config: TrainConfig) -> str:
    faults, advice = result.faults, _advice(result, files, config)
    if len(faults) == 1:
        return " ".join([f"--corpus {faults[0].display_path} {faults[0].reason}.", *advice])
    head = f"--corpus: {len(faults):,} of {files:,} files cannot be read as text ({_counted(faults)}):"
    return "\n".join([head, *_lines(faults), *advice])


def _advice(result: Survey, files: int, config: TrainConfig) -> list[str]:
    encodings = {fault.guess.encoding for fault in result.faults if fault.guess}
    advice = []
    if len(encodings) > 1 or (encodings and result.beyond_ascii):
        advice.append(
            "The files are in several encodings: --encoding auto reads each in the encoding that it looks like."
        )
    if files > 1:
        advice.append("--exclude GLOB leaves files out, and --skip-unreadable leaves out all unreadable ones.")
    if config.unit == "char" and any(fault.category != UNREADABLE for fault in result.faults):
        advice.append("--unit byte reads the bytes of any file.")
    return advice


def _lines(faults: Sequence[Fault]) -> list[str]:
    # Texts first, because the user has to choose their encoding.
    faults = sorted(faults, key=lambda fault: fault.guess is None)
    lines = [f"  {fault.display_path} {fault.reason}" for fault in faults[:LISTED]]
    return lines + ([f"  and {len(faults) - LISTED:,} more"] if len(faults) > LISTED else [])


def _counted(faults: Sequence[Fault]) -> str:
    counts = Counter(fault.category.removeprefix("a ").removeprefix("an ") for fault in faults)
    return ", ".join(f"{count:,} × {category}" for category, count in counts.most_common())

"""Recognises files that are not text by their first bytes. Knows no character encodings."""

HEAD_BYTES = 8192  # git also looks at about this many to tell binary files from text

_SIGNATURES = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\0\0\1\0", "an icon"),
    (b"BM", "a BMP image"),
    (b"8BPS", "a Photoshop image"),
    (b"RIFF", "a WebP, WAV or AVI file"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC file"),
    (b"ID3", "an MP3 file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"%PDF-", "a PDF document"),
    (b"%!PS-", "a PostScript document"),
    (b"{\\rtf1", "an RTF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office file (.doc, .xls, .ppt)"),
    (b"PK\3\4", "a zip archive inside another archive"),
    (b"\x1f\x8b", "a gzip file inside an archive"),
    (b"BZh", "a bzip2 file inside an archive"),
    (b"\xfd7zXZ\0", "an xz file inside an archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file (.zst), which is not read: unpack it with zstd -d"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive (.7z), which is not read: unpack it"),
    (b"Rar!\x1a\7", "a RAR archive, which is not read: unpack it"),
    (b"\x04\x22\x4d\x18", "an LZ4 file, which is not read: unpack it"),
    (b"\x1f\x9d", "a compress file (.Z), which is not read: unpack it"),
    (b"!<arch>\n", "an ar archive (.a, .deb)"),
    (b"\x7fELF", "an ELF program or library"),
    (b"MZ", "a Windows program or library"),
    (b"\xcf\xfa\xed\xfe", "a macOS program or library"),
    (b"\xca\xfe\xba\xbe", "a Java class or macOS program"),
    (b"\0asm", "a WebAssembly module"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1", "a Parquet file"),
    (b"\x80\4\x95", "a Python pickle"),
    (b"wOFF", "a WOFF font"),
    (b"wOF2", "a WOFF2 font"),
    (b"\0\1\0\0\0", "a TrueType font"),
    (b"OTTO", "an OpenType font"),
)
_SURE_LENGTH = 5  # a text may begin with a shorter signature of ASCII letters

_TAR_HEADER_BYTES = 512
_TAR_CHECKSUM = slice(148, 156)


def kind_of(head: bytes) -> str | None:
    """The kind of a file that begins with `head`, for a message; None if it may be text."""
    if head[4:8] == b"ftyp":
        return "an MP4 or HEIC file"
    for signature, kind in _SIGNATURES:
        is_sure = len(signature) >= _SURE_LENGTH or not signature.isascii() or b"\0" in head
        if is_sure and head.startswith(signature):
            return kind
    return None


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with `head` is a tar archive.

    POSIX and GNU archives say so. One of Unix v7 does not, but the checksum in its first header is right.
    """
    return head[257:262] == b"ustar" or _has_tar_checksum(head[:_TAR_HEADER_BYTES])


def _has_tar_checksum(header: bytes) -> bool:
    """Whether the header contains the sum of its bytes in octal; in the sum, the field itself counts as spaces."""
    field = header[_TAR_CHECKSUM].strip(b" \0")
    if len(header) < _TAR_HEADER_BYTES or not field.isdigit() or b"8" in field or b"9" in field:
        return False
    return int(field, 8) == sum(header) - sum(header[_TAR_CHECKSUM]) + 8 * ord(" ")

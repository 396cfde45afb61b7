"""Routes that answer with a content that stays the same while the service runs. Knows none of the contents.

A client asks each time whether its copy is current and gets 304 if it is. The content is compressed where the client
accepts gzip.
"""

import gzip
import hashlib

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue


def add_file(routes: Blueprint, url: str, content: bytes, media_type: str, *, policy: str | None = None) -> None:
    """Add a route that answers with `content`; `policy` is its Content-Security-Policy."""
    digest = hashlib.sha256(content).hexdigest()[:32]
    plain, compressed = (digest, content), (f"{digest}-gzip", gzip.compress(content, mtime=0))

    def answer() -> ResponseReturnValue:
        is_compressed = request.accept_encodings.quality("gzip") > 0
        tag, body = compressed if is_compressed else plain
        is_known = request.if_none_match.contains_weak(tag)
        response = Response(b"" if is_known else body, 304 if is_known else 200, mimetype=media_type)
        response.set_etag(tag)
        response.vary.add("Accept-Encoding")
        response.headers["Cache-Control"] = "no-cache"
        if is_compressed and not is_known:
            response.headers["Content-Encoding"] = "gzip"
        if policy:
            response.headers["Content-Security-Policy"] = policy
        return response

    routes.add_url_rule(url, url.strip("/").translate(str.maketrans("/.", "__")) or "index", answer)

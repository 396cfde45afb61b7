"""The Redis that processes share their rate limit through: its URL, its client and its check. Knows no request.

The package `redis` is optional; it is imported only when a URL is configured.
"""

import re
from typing import cast
from urllib.parse import urlsplit

from limits.storage import RedisStorage

MEMORY = "memory"  # instead of a URL: each process counts alone
# Without a query: the client would take its own settings from there, such as a longer timeout.
URL = re.compile(
    r"rediss?://([^@/?#\s]*@)?(\[[0-9a-f:.]+\]|[0-9a-z._-]{1,253})(:[0-9]{1,5})?(/[0-9]{0,5})?", re.IGNORECASE
)
TIMEOUT_S = 0.5  # for a connection, for each answer, and for a free connection
MAX_CONNECTIONS = 16  # of one process; each is used for less than a millisecond
KEY_PREFIX = "charloom"


class RateStorageError(Exception):
    """The storage cannot be used. The message completes a sentence that names the setting, and quotes no password."""


def open_storage(url: str) -> RedisStorage:
    """The storage at a URL like redis://host:6379/0 or, with TLS, rediss://. Opens no connection.

    Raises:
        RateStorageError: it is another kind of URL, or the package `redis` is not installed.
    """
    if not _is_valid(url):
        example = "'memory' or a URL like 'redis://host:6379/0'"
        raise RateStorageError(f"must be {example}, not {shown(url)!r}")
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise RateStorageError("needs the Python package redis: pip install -r requirements-redis.txt") from None
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),  # by default the client retries for seconds
        protocol=2,  # every Redis and its relatives understand it
    )
    return RedisStorage(url, connection_pool=pool, key_prefix=KEY_PREFIX, wrap_exceptions=True)


def check(storage: RedisStorage) -> None:
    """Ask the storage for an answer, and close the connection.

    Raises:
        RateStorageError: it does not answer, or refuses the password.
    """
    import redis

    client = cast(redis.Redis, storage.get_connection())
    try:
        client.ping()
    except (redis.RedisError, UnicodeError) as error:  # a host with an empty or too long part cannot be encoded
        reason = " ".join(str(error).split()).rstrip(".")
        raise RateStorageError(f"names a Redis that cannot be used: {reason}") from error
    finally:
        client.close()


def shown(url: str) -> str:
    """The part of a URL that holds neither name nor password, at most 60 characters of it."""
    return url.rpartition("@")[2].partition("?")[0][:60]


def _is_valid(url: str) -> bool:
    if not URL.fullmatch(url):
        return False
    try:
        return urlsplit(url).port != 0
    except ValueError:  # above 65535
        return False

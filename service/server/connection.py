"""One client's connection: its socket, the request that arrives on it, and the response that the main thread sends.

Knows nothing of threads, Flask or models.
"""

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from service.server.refusal import malformed
from service.server.request import IncomingRequest

SEND_BUFFER_BYTES = 256 * 1024  # in the kernel, so that few responses wait for a client that reads slowly
SEND_TIMEOUT = struct.pack("ll", 60, 0)  # seconds, microseconds: for one blocking send of a request's thread


@dataclass(eq=False)
class Connection:
    """A client's socket with its current request and response.

    The socket blocks: a request's thread waits for its client, and the main thread passes MSG_DONTWAIT instead. To
    switch the mode takes a system call.
    """

    sock: socket.socket
    client: tuple[Any, ...]  # address and port
    server: tuple[Any, ...]
    is_admin: bool
    request: IncomingRequest = field(init=False)
    deadline_s: float = 0.0  # of the main thread's wait for a request, a send or the client's close
    events: int = 0  # of the socket, for which the main thread waits
    is_registered: bool = False  # with the selector
    outgoing: memoryview = field(default_factory=lambda: memoryview(b""))  # unsent bytes of the main thread's response
    after_sending: Callable[[], None] = field(init=False)
    buffered_bytes: int = 0  # of request and response, in the main thread's memory
    discarded_bytes: int = 0  # received after the last response

    def __post_init__(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, SEND_TIMEOUT)
        address = str(self.client[0])
        if address.startswith("::ffff:") and "." in address:  # an IPv4 client of a socket for both families
            self.client = (address.removeprefix("::ffff:"), self.client[1])

    def parsed(self, cfg: Any, request: bytes) -> Any:
        """A complete request in the form that gunicorn's workers handle.

        Raises:
            Refusal: gunicorn's parser for workers, which is stricter, rejects it.
        """
        try:
            parsed = next(RequestParser(cfg, iter((request,)), self.client))
        except ParseException as error:
            raise malformed(error) from None
        # The server has sent 100 Continue before it read the body; gunicorn must not send it again.
        parsed._expected_100_continue = False
        return parsed

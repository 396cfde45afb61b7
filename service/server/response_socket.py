"""The socket that gunicorn sends a response to: it keeps a complete response, and passes a stream on."""

import socket


class ResponseSocket:
    """A client's socket for one response. The main thread sends what is kept, so that no client blocks a thread."""

    def __init__(self, sock: socket.socket, *, may_stream: bool) -> None:
        """A response that may be a stream is one if it has no Content-Length, which Flask adds to all others."""
        self.kept = bytearray()
        self._is_stream = None if may_stream else False
        self._sock = sock
        # The application and gunicorn use these too.
        self.fileno, self.setsockopt, self.send = sock.fileno, sock.setsockopt, sock.send
        self.shutdown, self.close = sock.shutdown, sock.close

    def sendall(self, data: bytes) -> None:
        """Keep or send the next bytes of the response; the first ones are its head.

        Raises:
            OSError: it is a stream, and the client is gone or does not read.
        """
        if self._is_stream is None:
            self._is_stream = b"\r\nContent-Length: " not in data
        if self._is_stream:
            self._sock.sendall(data)
        else:
            self.kept += data

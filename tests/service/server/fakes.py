"""Limits of a request, and a clock that the test sets."""

from service.server.request import Limits

LIMITS = Limits(request_line=4094, request_fields=100, request_field_size=8190, body_bytes=100)


class Clock:
    """A replacement for the module `time`: tests set its `now_s`."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

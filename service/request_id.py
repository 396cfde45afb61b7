"""The id of a request, in its response and in the log."""

import re
import uuid

VALID = re.compile(r"[\x21-\x7e]{1,128}")


def request_id(given: str = "") -> str:
    """The id that the client has given, if it is valid; otherwise a new one."""
    return given if VALID.fullmatch(given) else uuid.uuid4().hex

"""The id of a request, in its response and in the log."""

import random
import re

VALID = re.compile(r"[\x21-\x7e]{1,128}")


def request_id(given: str = "") -> str:
    """The id that the client has given, if it is valid; otherwise a new one.

    A new id is not a secret. Random bytes of the system would take a system call, which lets another thread take the
    interpreter's lock.
    """
    return given if VALID.fullmatch(given) else f"{random.getrandbits(128):032x}"

"""The log's records as JSON, and lines that become records."""

import json
import logging
import os
import subprocess
import sys

import pytest

from service.server import logs
from tests.processes import ROOT


def test_a_record_is_one_line_of_json_with_its_extra_fields() -> None:
    record = logging.makeLogRecord(
        {
            "name": "service",
            "levelname": "INFO",
            "msg": "a\u2028 %s\n",
            "args": ("b",),
            "created": 86400.25,
            "status": 200,
        }
    )
    line = logs.JsonLines().format(record)
    assert line.isascii()
    assert "\n" not in line
    fields = {"time": "1970-01-02T00:00:00.250Z", "level": "INFO", "logger": "service", "message": "a\u2028 b\n"}
    assert json.loads(line) == fields | {"status": 200}


def test_lines_that_native_code_writes_to_stderr_become_records(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with logs.stderr_as_records():
        os.write(2, b"first\n\nsecond \xff\n")
        assert caplog.messages == []
    assert caplog.messages == ["first", "second \ufffd"]


def test_stderr_is_restored_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), logs.stderr_as_records():
        raise ZeroDivisionError
    os.write(2, b"visible")
    assert capfd.readouterr().err == "visible"


PROGRAM = """
import logging, threading, warnings
from service.server import logs
logs.configure()
logging.getLogger("other").info("a record")
logging.getLogger("other").debug("not logged")
warnings.warn("a warning")
thread = threading.Thread(target=lambda: 1 / 0, name="failing")
thread.start()
thread.join()
"""


def test_records_warnings_and_exceptions_of_threads_are_all_logged_as_json() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True, capture_output=True, text=True)
    record, warning, failure = map(json.loads, result.stderr.splitlines())
    assert (record["logger"], record["message"]) == ("other", "a record")
    assert "a warning" in warning["message"]
    assert failure["message"] == "Thread failing ended because of an unexpected error."
    assert "ZeroDivisionError" in failure["exc_info"]

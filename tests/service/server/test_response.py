import json
from http import HTTPStatus

from service.server.response import json_response


def test_a_response_is_complete_and_closes_its_connection() -> None:
    head, _, body = json_response(HTTPStatus.OK, {"status": "alive"}, "some-id", retry_after_s=3).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert status == "HTTP/1.1 200 OK"
    assert json.loads(body) == {"status": "alive"}
    assert int(headers["Content-Length"]) == len(body)
    assert (headers["Connection"], headers["X-Request-Id"], headers["Retry-After"]) == ("close", "some-id", "3")

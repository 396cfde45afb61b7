"""Clients of a running service: streams that are read slowly or not at all, raw sockets, its metrics and its log."""

import http.client
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.servers import Server
from tests.waiting import wait_until

ENDLESS = 10**8  # characters: more than any test waits for
JSON = {"Content-Type": "application/json"}
NDJSON = JSON | {"Accept": "application/x-ndjson"}


def raw_request(fields: dict[str, Any], *header_lines: str, path: str = "/generate") -> bytes:
    """The bytes of a POST with these fields as its JSON body."""
    body = json.dumps(fields).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *header_lines, "\r\n"]).encode() + body


def read_to_end(client: socket.socket) -> bytes:
    """Every byte until the server closes the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def sse_data(body: bytes) -> list[str]:
    """The data of each server-sent event, without the pings of a busy service."""
    events = body.decode().removesuffix("\n\n").split("\n\n")
    data = [event for event in events if event != ": ping"]
    assert all(event.startswith("data: ") for event in data), events
    return [event.removeprefix("data: ") for event in data]


@contextmanager
def streaming(server: Server, **fields: Any) -> Iterator[http.client.HTTPResponse]:
    """The response of a stream whose first event has been read."""
    connection = server.connect()
    try:
        connection.request("POST", "/generate", json.dumps(fields).encode(), NDJSON)
        response = connection.getresponse()
        assert response.status == 200
        assert json.loads(response.readline())["index"] == 0
        yield response
        response.close()
    finally:
        connection.close()


def last_event(response: http.client.HTTPResponse) -> dict[str, Any]:
    """Read an NDJSON stream to its end and return its last event."""
    event: dict[str, Any] = json.loads(response.read().splitlines()[-1])
    return event


@contextmanager
def vanishing(server: Server, *header_lines: str, **fields: Any) -> Iterator[socket.socket]:
    """A client that has sent a request, and resets its connection at the end as a killed process does."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(raw_request(fields, *header_lines))
        yield client
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends RST, not FIN


def metric(server: Server, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels."""
    status, _, body = server.request("GET", "/metrics")
    assert status == 200
    families = text_string_to_metric_families(body.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def log_records(server: Server) -> list[dict[str, Any]]:
    """The log, every line of which must be a JSON object."""
    return [json.loads(line) for line in server.log().rpartition("\n")[0].split("\n")]


def log_record(server: Server, request_id: str) -> dict[str, Any]:
    """The one log record of a request; the service writes it after the client has the response."""

    def found() -> list[dict[str, Any]]:
        return [record for record in log_records(server) if record.get("request_id") == request_id]

    (record,) = wait_until(found)
    return dict(record)


def usage_without_cache(response: dict[str, Any]) -> dict[str, int]:
    """The `usage` of a response less `cached_chars`, which depends on earlier requests."""
    usage = dict(response["usage"])
    assert 0 <= usage.pop("cached_chars") <= usage["prompt_chars"]
    return usage

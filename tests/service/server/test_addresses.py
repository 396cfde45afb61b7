"""Addresses to listen on, on this machine."""

import socket

import pytest

from service.config import ConfigError
from service.server import addresses
from tests.ports import free_port


def test_localhost_has_the_addresses_of_both_families_that_the_machine_has() -> None:
    port = free_port()
    found = addresses.to_bind("localhost", port)
    assert f"127.0.0.1:{port}" in found
    assert set(found) <= {f"127.0.0.1:{port}", f"[::1]:{port}"}
    assert (f"[::1]:{port}" in found) is socket.has_dualstack_ipv6()


def test_a_star_is_every_address_of_the_machine() -> None:
    port = free_port()
    assert addresses.to_bind("*", port) == [f"[::]:{port}" if socket.has_dualstack_ipv6() else f"0.0.0.0:{port}"]


def test_a_port_in_use_is_refused_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"port {port} cannot be used on 127\.0\.0\.1 \(address already in use\)"
        ):
            addresses.require_free(addresses.to_bind("127.0.0.1", port))
    addresses.require_free([f"127.0.0.1:{port}"])


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1", "999.1.1.1", "a..b", "a" * 64 + ".org"])
def test_a_host_of_another_machine_is_refused_in_one_sentence(host: str) -> None:
    with pytest.raises(ConfigError, match=rf"CHARLOOM_HOST names '{host}'"):
        addresses.to_bind(host, free_port())

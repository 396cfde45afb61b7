"""CHARLOOM_HOST and a port -> the addresses to listen on, each tried once before the server starts."""

import errno
import socket

from service.config import ConfigError

ALL = "*"  # every address of the machine, IPv4 and IPv6


def to_bind(host: str, port: int) -> list[str]:
    """The addresses of `host` that this machine has, in gunicorn's form.

    A name such as `localhost` may stand for an IPv4 and an IPv6 address; one that the machine lacks is left out.

    Raises:
        ConfigError: the name is unknown, or no address can be listened on.
    """
    try:
        found = [
            address for name in _names(host) for address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        ]
    except OSError as error:
        raise ConfigError(
            f"CHARLOOM_HOST names {host!r}, which is no address: {str(error.strerror).lower()}."
        ) from None
    addresses, reason = [], ""
    for family, _, _, _, address in found:
        try:
            _try(family, address)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise _cannot_listen(host, port, error) from None
            reason = str(error.strerror).lower()
        else:
            addresses.append(f"[{address[0]}]:{port}" if family == socket.AF_INET6 else f"{address[0]}:{port}")
    if not addresses:
        raise ConfigError(f"CHARLOOM_HOST names {host!r}, which cannot be listened on: {reason}.")
    return list(dict.fromkeys(addresses))


def _names(host: str) -> list[str]:
    if host == ALL:
        return ["::" if socket.has_dualstack_ipv6() else "0.0.0.0"]
    # Many systems give the name its IPv4 address only (RFC 6761, section 6.3, has both).
    return ["127.0.0.1", "::1"] if host == "localhost" else [host]


def _try(family: int, address: tuple[object, ...]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        attempt.bind(address)


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    reason = str(error.strerror).lower()
    advice = "choose another with PORT or CHARLOOM_ADMIN_PORT"
    return ConfigError(f"port {port} cannot be used on {host} ({reason}): {advice}.")

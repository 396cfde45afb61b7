"""Resolves CHARLOOM_HOST and a port to the addresses of this machine to listen on."""

import socket

from service.config import ConfigError

ALL = "*"  # every address of the machine, IPv4 and IPv6


def to_bind(host: str, port: int) -> list[str]:
    """The addresses of `host` that this machine has, in gunicorn's form.

    A name such as `localhost` may have an IPv4 and an IPv6 address; one that the machine lacks is left out.

    Raises:
        ConfigError: the name is unknown, or none of its addresses is this machine's.
    """
    try:
        found = [entry for name in _names(host) for entry in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:  # a name with an empty or too long part cannot be encoded
        reason = error.strerror if isinstance(error, OSError) else "it is no valid name"
        raise ConfigError(f"CHARLOOM_HOST names {host!r}, which cannot be resolved: {str(reason).lower()}.") from None
    addresses = {
        f"[{address[0]}]:{port}" if family == socket.AF_INET6 else f"{address[0]}:{port}": None
        for family, _, _, _, address in found
        if _is_here(family, str(address[0]))
    }
    if not addresses:
        raise ConfigError(f"CHARLOOM_HOST names {host!r}, which is not an address of this machine.")
    return list(addresses)


def require_free(addresses: list[str]) -> None:
    """Check that the process may listen on each of the addresses.

    Raises:
        ConfigError: a port is in use or needs other permissions.
    """
    for address in addresses:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        try:
            _bind(family, host.strip("[]"), int(port))
        except OSError as error:
            raise ConfigError(not_free(host, int(port), error)) from None


def not_free(host: str, port: int, error: OSError) -> str:
    """The sentence for a port that the process may not listen on."""
    reason = str(error.strerror).lower()
    return f"port {port} cannot be used on {host} ({reason}): choose another with PORT or CHARLOOM_ADMIN_PORT."


def _names(host: str) -> list[str]:
    if host == ALL:
        return ["::" if socket.has_dualstack_ipv6() else "0.0.0.0"]
    # Many systems resolve it to the IPv4 address only (RFC 6761, section 6.3, has both).
    return ["127.0.0.1", "::1"] if host == "localhost" else [host]


def _is_here(family: int, host: str) -> bool:
    try:
        _bind(family, host, 0)
    except OSError:
        return False
    return True


def _bind(family: int, host: str, port: int) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        attempt.bind((host, port))

"""Whether a host is this machine itself, which no other one reaches."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether the name or address, without port and brackets, is this machine's own loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"

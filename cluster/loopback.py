"""Whether a host is this machine itself, which no other one reaches."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether the name or address, without port and brackets, is this machine's own loopback."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback

"""PURE: whether a host is this machine."""

import ipaddress


def is_local(host: str) -> bool:
    """Whether what is sent there stays on this machine: loopback, or a socket file."""
    return host == "" or host[0] in "/@" or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine's own, which no other reaches."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"

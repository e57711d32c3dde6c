"""How many connections the web server may hold, so that the worker can always open those that it needs itself."""

import contextlib
import os
import resource

MOST = 1_500
"""Connections at once, whatever the system allows: it bounds their memory. 1,000 of them may be open pages."""
_LEAST = 16
"""There are always places for supervisors."""
_ENOUGH = 65_536
_OTHERS = 256
"""What a worker has open or may open beside its pools: Kafka, replica, Redis, tables, and arrivals in the backlog."""
_MARGIN = 192
"""Kept free beside what is open: a full backlog (128), which is accepted at one go, and files that a table opens."""
_OPEN = ("/proc/self/fd", "/dev/fd")


def raise_limit() -> int:
    """As far as this process may without more rights. Returns how many descriptors it can open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _ENOUGH if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):  # macOS has another limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def open_descriptors() -> int:
    """How many this process has open now; 0 where the system does not tell."""
    for folder in _OPEN:
        with contextlib.suppress(OSError):
            return len(os.listdir(folder))
    return 0


def places(limit: int, pools: int, others: int) -> int:
    """PURE: connections that there is room for. `pools`: what the worker's own may grow to, by its settings; `others`:
    descriptors that it has open now for anything but the web.
    """
    own = max(pools + _OTHERS, others + _MARGIN)
    return max(_LEAST, min(MOST, limit - own))


def page_places(all_places: int) -> int:
    """PURE: of those, for pages that stay open: a quarter is left to whoever asks and goes."""
    return all_places * 3 // 4

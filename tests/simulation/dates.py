"""Virtual dates, for modules that ask `datetime` for the time."""

import sys
import time
from datetime import datetime, tzinfo


class _Datetime(datetime):
    """The modules' `datetime`, whose `now` is the world's. What it gives is a plain datetime."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(time.time(), tz)


def tell_virtual_dates() -> None:
    """To all modules of the product that are imported by now."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("creditstream.", "schemas.")) and getattr(module, "datetime", None) is datetime:
            module.__dict__["datetime"] = _Datetime

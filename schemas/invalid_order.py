"""What `schemas.order.decode_order` raises."""


class InvalidOrder(ValueError):
    """The bytes are not an order. `reason` is a stable word for headers and metrics; the text never holds values."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason

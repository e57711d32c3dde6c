"""`GET /metrics`: this worker's metrics for Prometheus."""

from typing import Any

from creditstream.main import app


@app.page("/metrics")
async def metrics(self: Any, request: Any) -> Any:
    """In the format that the scraper asks for, with its exact content type."""
    exposition = app.runtime.exposition
    if exposition is None:
        return self.text("the worker is starting", status=503)
    body, content_type = exposition.render(request.headers.get("Accept", ""))
    return self.bytes(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

"""What the API answers: from the replica behind the cache, and from the worker that owns an order."""

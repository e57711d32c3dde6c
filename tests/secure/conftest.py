"""The fixtures of tests/secure, for pytest to find."""

from tests.secure.fixtures import certificates, redis_tls, secure_kafka, secure_postgres, secure_redis

__all__ = ["certificates", "redis_tls", "secure_kafka", "secure_postgres", "secure_redis"]

"""The fixtures of tests/secure, for pytest to find."""

from tests.secure.fixtures import certificates, redis_tls, secure_kafka, secure_postgres, secure_redis
from tests.secure.ways import secure_environ

__all__ = ["certificates", "redis_tls", "secure_environ", "secure_kafka", "secure_postgres", "secure_redis"]

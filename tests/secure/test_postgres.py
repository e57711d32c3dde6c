"""PostgreSQL with verify-full: a real server with TLS, certificates good and bad, and a password that changes."""

import asyncio
from pathlib import Path

import pytest

from creditstream.config.patience import patiently
from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError, StoreRefused
from creditstream.store.database import Database
from devtools.wait import wait_for
from tests.secure.certificates import Certificates
from tests.secure.postgres import PASSWORD, USER, SecurePostgres
from tests.secure.servers import write

_TLS = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app'"


def why(dsn: str) -> str:
    """The one line with which a start is refused; at once, not when the start's time is up."""

    async def start() -> None:
        settings = Settings(start_timeout=120.0)
        await asyncio.wait_for(patiently(settings, lambda: Database.open(Secret(dsn), size=1)), 100)

    with pytest.raises(StartError) as error:
        asyncio.run(start())
    assert "\n" not in str(error.value) and PASSWORD not in str(error.value)
    assert str(error.value).startswith(
        "PostgreSQL (CREDITSTREAM_POSTGRES_DSN) and this program do not trust each other"
    )
    return str(error.value)


def test_what_is_wrong_is_named(secure_postgres: SecurePostgres, certificates: Certificates) -> None:
    server, ca = secure_postgres, certificates.ca
    assert "unable to get local issuer certificate" in why(server.dsn(sslrootcert=certificates.other_ca))
    name = server.dsn(host="elsewhere.example", hostaddr="127.0.0.1", sslrootcert=ca)
    assert 'does not match host name "elsewhere.example"' in why(name)
    assert "root certificate file" in why(server.dsn(sslrootcert="/nowhere.pem"))
    assert "password authentication failed" in why(server.dsn("wrong", sslrootcert=ca))
    assert "no pg_hba.conf entry" in why(server.dsn(sslrootcert=ca).replace("verify-full", "disable"))


def test_an_expired_certificate_is_named(secure_postgres: SecurePostgres, certificates: Certificates) -> None:
    dsn = secure_postgres.dsn(sslrootcert=certificates.ca)
    secure_postgres.show(certificates.expired)
    try:
        wait_for(lambda: asyncio.run(_refused(dsn)), 60.0, "PostgreSQL shows the other certificate")
        assert "its certificate is refused: certificate has expired" in why(dsn)
    finally:
        secure_postgres.show(certificates.server)
        wait_for(lambda: not asyncio.run(_refused(dsn)), 60.0, "PostgreSQL shows the good certificate")


async def _refused(dsn: str) -> bool:
    try:
        database = await Database.open(Secret(dsn), size=1)
    except StoreRefused:
        return True
    await database.close()
    return False


def test_a_new_password_is_used_by_the_next_connection(
    secure_postgres: SecurePostgres, certificates: Certificates, tmp_path: Path
) -> None:
    server, ca = secure_postgres, certificates.ca
    file = write(tmp_path / "dsn", server.dsn(sslrootcert=ca))

    async def use() -> None:
        database = await Database.open(Secret(file=str(file)), size=1)
        try:
            assert set(server.ask(_TLS)) == {(True,)}
            write(file, server.dsn("long-and-random-5", sslrootcert=ca))
            server.ask(f"ALTER ROLE {USER} PASSWORD 'long-and-random-5'")
            server.ask(f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = '{USER}'")
            # The first use may still find the connection that was cut: then this asks again.
            await patiently(Settings(start_timeout=60.0), lambda: database.value("check"))
        finally:
            await database.close()

    try:
        asyncio.run(use())
        assert "password authentication failed" in why(server.dsn(sslrootcert=ca))
    finally:
        server.ask(f"ALTER ROLE {USER} PASSWORD '{PASSWORD}'")

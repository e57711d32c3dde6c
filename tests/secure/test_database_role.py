"""deploy/aws: how the program gets a role of its own from an administrator who, as in RDS, is no superuser."""

import asyncio
import subprocess
import sys

import psycopg2
import pytest

from creditstream.store.migrations import migrate
from tests.secure.certificates import Certificates
from tests.secure.postgres import SecurePostgres
from tests.support.servers import ROOT

_SCRIPT = ROOT / "deploy" / "aws" / "kubernetes" / "database_role.py"


def make_role(server: SecurePostgres, certificates: Certificates, password: str) -> str:
    """The program's DSN afterwards."""
    admin = {"PGUSER": "rds_admin", "PGPASSWORD": "long-and-random-7", "PGDATABASE": "rds", "PGSSLMODE": "verify-full"}
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGSSLROOTCERT": str(certificates.ca)}
    environ = {**admin, **where, "PROGRAM_USER": "program", "PROGRAM_PASSWORD": password}
    done = subprocess.run([sys.executable, str(_SCRIPT)], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    at = f"program:{password}@127.0.0.1:{server.port}/rds"
    return f"postgresql://{at}?sslmode=verify-full&sslrootcert={certificates.ca}"


def test_the_programs_role_may_migrate_and_takes_a_new_password(
    secure_postgres: SecurePostgres, certificates: Certificates
) -> None:
    secure_postgres.ask("CREATE ROLE rds_admin LOGIN CREATEROLE CREATEDB PASSWORD 'long-and-random-7'")
    secure_postgres.ask("CREATE DATABASE rds OWNER rds_admin")
    old = make_role(secure_postgres, certificates, "long-and-random-8")
    assert asyncio.run(migrate(old))
    new = make_role(secure_postgres, certificates, "it's-long-and-random-9")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(old)
    connection = psycopg2.connect(new)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False,)
    connection.close()

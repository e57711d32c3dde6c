"""Runs database_role.sql once, as the administrator; where: libpq's PG… variables, which database-role.yaml sets."""

import os
from pathlib import Path

import psycopg2

_STATEMENTS = Path(__file__).with_name("database_role.sql")


def main() -> None:
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        for name, variable in (("setup.role", "PROGRAM_USER"), ("setup.password", "PROGRAM_PASSWORD")):
            cursor.execute("SELECT set_config(%s, %s, true)", [name, os.environ[variable]])
        cursor.execute(_STATEMENTS.read_text())
    connection.close()
    print("the program's role owns its database")


if __name__ == "__main__":
    main()

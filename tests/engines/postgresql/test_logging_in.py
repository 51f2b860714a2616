"""Every driver can log in to the embedded server with its password, and nobody without."""

from __future__ import annotations

from pathlib import Path

import pg8000.dbapi
import psycopg2
import pytest

import mintdb


def test_a_driver_that_refuses_few_rounds_of_hashing_can_log_in(project: Path) -> None:
    with mintdb.open(project) as mint, mint.lease() as lease:
        given = lease.address
        login = {"user": given.user, "password": given.password, "host": given.host, "port": given.port}
        connection = pg8000.dbapi.connect(database=given.database, **login)
        cursor = connection.cursor()
        cursor.execute("select current_user::text")
        assert cursor.fetchone() == [given.user]
        connection.close()


def test_a_wrong_password_is_refused(project: Path) -> None:
    refused = pytest.raises(psycopg2.OperationalError, match="password authentication failed")
    with mintdb.open(project) as mint, mint.lease() as lease, refused:
        psycopg2.connect(lease.url, password="wrong")

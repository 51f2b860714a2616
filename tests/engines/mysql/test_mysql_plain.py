"""A MariaDB server that nobody has prepared for mintdb: test_mysql_external where it is most likely to be run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.mysql import test_mysql_external as external
from tests.engines.mysql.mariadb import PlainServer, plain
from tests.engines.mysql.test_mysql_external import project

__all__ = ["project"]

# What holds on a server of mintdb's own holds here.
test_a_grant = external.test_an_account_with_a_grant_for_mints_databases_alone_is_enough
test_left_open = external.test_a_transaction_that_was_left_open_is_ended_there_too
test_no_functions = external.test_a_server_that_logs_and_trusts_no_functions_says_what_to_set


@pytest.fixture(scope="module")
def server(server_home: Path) -> Iterator[PlainServer]:
    with plain() as server:
        yield server

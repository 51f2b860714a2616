"""Snowpark's sessions work on the emulated account. Snowpark needs the connector's 4.8 line: see test_other_line."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from snowflake.snowpark import Session, Window
from snowflake.snowpark import functions as f
from snowflake.snowpark.exceptions import SnowparkSessionException, SnowparkSQLException
from snowflake.snowpark.types import IntegerType

from mintdb import Lease

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Snowpark's own imports


@pytest.fixture
def session(db: Lease) -> Iterator[Any]:
    assert isinstance(db.params, dict)
    with Session.builder.configs(dict(db.params)).create() as session:
        session.sql("insert into orders (id, customer, total) values (1, 1, 10.50), (2, 2, 20), (3, 2, 1)").collect()
        yield session


@pytest.mark.parametrize("again", range(2))
def test_a_session_works_on_the_account_that_the_connector_works_on(session: Any, connection: Any, again: int) -> None:
    assert session.table("orders").count() == 3
    connection.cursor().execute("delete from orders where id = 3")
    assert session.sql("select id, total from orders where customer = ?", params=[2]).collect() == [(2, Decimal("20"))]
    assert (session.get_current_database(), session.get_current_schema()) == ('"SHOP"', '"PUBLIC"')


def test_queries_are_built_of_tables(session: Any) -> None:
    orders, customers = session.table("orders"), session.table("customer").select(f.col("id").alias("c"), "name")
    sums = orders.group_by("customer").agg(f.sum("total").alias("sum")).sort("customer")
    assert [(row["CUSTOMER"], row["SUM"]) for row in sums.collect()] == [(1, Decimal("10.50")), (2, Decimal("21.00"))]
    named = orders.join(customers, orders["customer"] == customers["c"]).filter(f.col("total") > 5).sort("id")
    assert [row["NAME"] for row in named.select("name").collect()] == ["Ann", "Ben"]
    ranked = orders.select("id", f.row_number().over(Window.order_by(f.col("total").desc())).alias("rank"))
    assert [row["ID"] for row in ranked.sort("rank").collect()] == [2, 1, 3]
    assert orders.select("id", "total").columns == ["ID", "TOTAL"]


def test_rows_of_python_become_tables_and_go_with_the_test(session: Any) -> None:
    frame = session.create_dataframe([[1, "x"], [2, "y"]], schema=["a", "b"])
    frame.write.save_as_table("made")
    frame.filter(f.col("a") == 2).write.mode("append").save_as_table("made")
    made = session.table("made")
    assert made.update({"b": "z"}, f.col("a") == 1).rows_updated == 1
    assert sorted(made.collect()) == [(1, "z"), (2, "y"), (2, "y")]
    assert made.cache_result().count() == 3
    assert made.delete(f.col("a") == 2).rows_deleted == 2


def test_frames_of_pandas_go_in_and_out(session: Any) -> None:
    pandas = pytest.importorskip("pandas")
    session.write_pandas(pandas.DataFrame({"A": [1, 2]}), "FROM_PANDAS", auto_create_table=True)
    assert list(session.table("from_pandas").to_pandas()["A"]) == [1, 2]


def test_a_function_in_python_is_refused(session: Any) -> None:
    with pytest.raises(SnowparkSQLException, match="the emulated account does not do"):
        f.udf(lambda x: x, return_type=IntegerType(), input_types=[IntegerType()], session=session)


def test_a_closed_session_refuses_work(session: Any) -> None:
    session.close()
    with pytest.raises(SnowparkSessionException, match="the session has been closed"):
        session.sql("select 1").collect()

"""snowflake-sqlalchemy works on the emulated account. It needs SQLAlchemy below 2.1: see test_other_line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import mintdb
from mintdb import Lease, Mint

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(sa.Sequence("item_id"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(20))
"""


@pytest.fixture(scope="module")
def mint(server_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mint]:
    folder = tmp_path_factory.mktemp("project")
    (folder / "warehouse_models.py").write_text(MODELS)
    with mintdb.open(folder, engine="snowflake", name="shop", schema="metadata:warehouse_models:Base") as opened:
        yield opened


@pytest.mark.parametrize("again", range(2))
def test_metadata_fills_the_account_and_sessions_commit_to_it(db: Lease, again: int) -> None:
    import warehouse_models  # type: ignore[import-not-found]  # it was just written

    engine = sa.create_engine("snowflake://ann:secret@acme.eu-west-1/shop/public")
    with Session(engine) as session:
        session.add(warehouse_models.Item(name="lamp"))
        session.commit()
        session.add(warehouse_models.Item(name="of a rollback"))
        session.rollback()
        assert session.scalars(sa.select(warehouse_models.Item.name)).all() == ["lamp"]
        assert (
            session.scalar(sa.select(sa.func.count()).where(warehouse_models.Item.name == sa.bindparam("n", "x"))) == 0
        )
    assert sa.inspect(engine).get_table_names() == ["item"]
    engine.dispose()

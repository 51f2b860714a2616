"""A database's name fits, and says whose it is: what was put in comes out again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintdb.core.names import NAME_LIMIT, DatabaseName, Role, distinct, find_role, new_token, slug
from mintdb.mint import Mint
from mintdb.settings import load

projects = st.text().map(slug)
fingerprints = st.text("0123456789abcdef", min_size=12, max_size=12)
tokens = st.builds(new_token)
names = st.one_of(
    st.builds(DatabaseName, st.just(Role.TEMPLATE), projects, fingerprints),
    st.builds(DatabaseName, st.just(Role.BUILDING), projects, fingerprints, owner=tokens),
    st.builds(DatabaseName, st.just(Role.CLONE), projects, owner=tokens, worker=st.text().map(slug)),
    st.builds(DatabaseName, st.just(Role.WARM), projects, fingerprints, worker=tokens),
    st.builds(DatabaseName, st.just(Role.TRASH), worker=tokens),
)


@given(names)
def test_a_name_fits_and_is_read_back_as_it_was_written(name: DatabaseName) -> None:
    text = str(name)
    assert len(text.encode()) <= NAME_LIMIT
    assert find_role(text) == name


@given(st.text())
def test_a_name_that_is_read_at_all_is_written_as_it_was_read(text: str) -> None:
    parsed = find_role(text)
    assert parsed is None or str(parsed) == text


@pytest.mark.parametrize(
    "name",
    ["postgres", "mintdb", "mint", "mint_", "shop_test", "mint_shop", "Mint_a_kept", "mint_a_kept ", "mint_é_kept"],
)
def test_names_of_others_are_nobodys_of_ours(name: str) -> None:
    assert find_role(name) is None


@given(st.text())
def test_a_slug_is_never_empty_and_only_letters_and_digits(text: str) -> None:
    assert slug(text).isalnum()
    assert slug(text).isascii()
    assert slug(slug(text)) == slug(text)


@given(
    st.lists(st.sampled_from(["shop", "shop2", "my_db", "my-db", "mydb", "2", "Shop", "a" * 30, "a" * 31]), unique=True)
)
def test_databases_that_look_alike_stay_apart(aliases: list[str]) -> None:
    assert len({distinct(alias) for alias in aliases}) == len(aliases)


def test_no_two_clones_of_a_run_have_one_name(tmp_path: Path) -> None:
    mint = Mint(load(tmp_path, call={"project": "p" * 40}, environ={}), worker="gw123")
    aliases = ["default", "shop", "shop2", "2", "my_db", "my-db", "x" * 60]
    found = [mint._clone_name(alias, number) for alias in aliases for number in (1, 2, 22, 222)]
    assert len(set(found)) == len(found)
    assert all((parsed := find_role(name)) and parsed.owner == mint.owner for name in found)


def test_tokens_differ() -> None:
    assert len({new_token() for _ in range(1000)}) == 1000


def test_what_one_mint_of_a_process_made_is_nobody_elses_to_the_others(tmp_path: Path, server_home: Path) -> None:
    """Django's test databases have one of their own beside that of the run's settings."""
    of_django = Mint(load(tmp_path, call={"name": "test_orchard"}, environ={}))
    of_the_run = Mint(load(tmp_path, environ={}))
    assert not of_the_run.has_made("test_orchard")
    of_django.reserve()
    assert of_the_run.has_made("test_orchard")
    assert not of_the_run.has_made("orchard")

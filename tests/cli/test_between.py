"""A command of any language puts its databases back between its own tests."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from programs import Run, databases

from mintdb.cli.answering import answering

PROGRAM = """
import os
import select
import urllib.error
import urllib.request

import psycopg

held = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)  # as a pool of the command's would

def post(variable, text=""):
    with urllib.request.urlopen(os.environ[variable], data=text.encode()) as answer:
        return answer.read().decode().strip()

def names():
    return [name for (name,) in held.execute("select name from customer order by id")]

def add(name):
    return held.execute("insert into customer (name) values (%s) returning id", [name]).fetchone()[0]

"""


@pytest.fixture
def program(project: Path) -> Path:
    (project / "db.sql").write_text("create table customer (id serial primary key, name text)")
    return project / "program.py"


def run_program(run: Run, program: Path, body: str) -> str:
    program.write_text(PROGRAM + body)
    ran = run("run", "--schema", "sql:db.sql", "--", sys.executable, program.name)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    return ran.stderr


def test_what_a_test_wrote_is_put_back_when_the_command_says_so(run: Run, program: Path) -> None:
    said = run_program(
        run,
        program,
        """
backend = held.info.backend_pid
for attempt in range(3):
    assert add("Ann") == 1
    assert post("MINTDB_PUT_BACK_URL", f"attempt {attempt}").startswith("rewound in ")
    assert names() == []
assert post("MINTDB_PUT_BACK_URL").startswith("wrote nothing, ")
assert held.info.backend_pid == backend
""",
    )
    assert "mintdb: 4 put back: 1 wrote nothing, 3 rewound;" in said


def test_what_is_kept_stays(run: Run, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # nothing answers there, and nobody has to
    run_program(
        run,
        program,
        """
add("Ann")
post("MINTDB_KEEP_URL")
add("Bob")
post("MINTDB_PUT_BACK_URL")
assert names() == ["Ann"]
assert add("Cid") == 2
post("MINTDB_KEEP_URL")
post("MINTDB_PUT_BACK_URL")
assert names() == ["Ann", "Cid"]
""",
    )


def test_whoever_is_in_the_way_is_ended_and_named_with_the_test(run: Run, program: Path) -> None:
    said = run_program(
        run,
        program,
        """
other = psycopg.connect(os.environ["DATABASE_URL"])
other.execute("insert into customer (name) values ('uncommitted')")
answer = post("MINTDB_PUT_BACK_URL", "the refund is sent")
assert f"backend {other.info.backend_pid}" in answer, answer
assert names() == []
""",
    )
    assert "the refund is sent" in said
    assert "idle in transaction" in said


def test_a_swap_says_why_and_who_lost_a_connection(run: Run, program: Path) -> None:
    run_program(
        run,
        program,
        """
held.execute("alter table customer add column mail text")
backend = held.info.backend_pid
swapped, ended = post("MINTDB_PUT_BACK_URL").splitlines()
assert swapped.startswith("swapped in ")
assert swapped.endswith(" ms, because the schema was changed: columns (pg_attribute)")
assert ended.startswith(f"ended backend {backend}, "), ended
""",
    )


def test_each_worker_has_a_database_of_its_own_under_one_name_always_the_same(run: Run, program: Path) -> None:
    said = run_program(
        run,
        program,
        """
def variables(worker):
    return dict(line.split("=", 1) for line in post("MINTDB_WORKER_URL", worker).splitlines())

add("Ann")
one, other = variables("1"), variables("pool/ä 2")
assert one == variables("1")
assert len({os.environ["DATABASE_URL"], one["DATABASE_URL"], other["DATABASE_URL"]}) == 3
assert set(one) < set(os.environ)
assert variables("") != variables("")

with psycopg.connect(one["DATABASE_URL"]) as first, psycopg.connect(other["DATABASE_URL"]) as second:
    for connection in (first, second):
        assert connection.execute("insert into customer (name) values ('Bob') returning id").fetchone() == (1,)
        connection.commit()
    os.environ["MINE"] = other["MINTDB_PUT_BACK_URL"]
    assert post("MINE", "the second worker's").startswith("rewound in ")
    assert first.execute("select name from customer").fetchall() == [("Bob",)]
    assert second.execute("select name from customer").fetchall() == []
    second.execute("insert into customer (name) values ('Seed')")
    second.commit()
    os.environ["THEIRS"] = other["MINTDB_KEEP_URL"]
    assert post("THEIRS") == "kept"
    assert post("MINE").startswith("wrote nothing, ")
assert names() == ["Ann"]
left = psycopg.connect(one["DATABASE_URL"])
left.execute("select 7")
if not os.fork():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    select.select([left], [], [])  # until the server ends it
os._exit(0)
""",
    )
    assert "still connected when the command had ended" in said
    assert databases() == set()


def test_only_who_knows_the_url_is_answered(run: Run, program: Path) -> None:
    run_program(
        run,
        program,
        """
def refused(url, **more):
    try:
        urllib.request.urlopen(url, **more)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()

url = os.environ["MINTDB_PUT_BACK_URL"]
assert refused(url) == (405, "POST to this address")
assert refused(url.rsplit("/", 2)[0] + "/wrong/put-back", data=b"") == (404, "nothing is here")
add("Ann")
assert refused(url[:-3], data=b"") == (404, "nothing is here")
nonsense = urllib.request.Request(url, data=b"", headers={"Content-Length": "many"})
assert refused(nonsense) == (500, "invalid literal for int() with base 10: 'many'")
assert names() == ["Ann"]
""",
    )


def test_nobody_waits_for_questions_after_the_command_has_ended() -> None:
    for _ in range(20):  # as a command that ends at once, before anything waits for it
        with answering({"put-back": lambda *said: ""}) as urls:
            assert list(urls) == ["put-back"]
        assert "mintdb answering" not in {thread.name for thread in threading.enumerate()}

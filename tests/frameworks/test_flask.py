"""Flask with an app factory, Flask-SQLAlchemy with two databases, and a live server: no line is added for mintdb."""

from __future__ import annotations

import os
from pathlib import Path

from tests.frameworks.examples import example, run_shuffled
from tests.frameworks.suites import Suite

SOAK = bool(os.environ.get("MINTDB_SOAK"))


def test_a_shop_with_an_app_for_each_of_its_123_tests(tmp_path: Path, server_home: Path) -> None:
    ran = example("flask_shop", tmp_path).run("-q")
    assert ran.outcomes == {"passed": 123}, ran.output
    assert "pool     webshop/__init__.py:15 in create_app, SQLAlchemy engine" in ran.output
    assert "still connected at the end" not in ran.output


def test_the_order_of_the_shops_tests_is_of_no_consequence(tmp_path: Path, server_home: Path) -> None:
    few = "once or 1] or [10 or 11]"
    ran = run_shuffled(example("flask_shop", tmp_path), 200 if SOAK else 2, "-k", few, "--mintdb-leaks=ignore")
    assert ran.code == 0, ran.output


APP = """
    import os

    from flask import Flask, jsonify, request
    from flask_sqlalchemy import SQLAlchemy

    db = SQLAlchemy()


    class User(db.Model):
        id = db.Column(db.Integer, primary_key=True)
        name = db.Column(db.String(80), unique=True, nullable=False)


    def create_app():
        app = Flask(__name__)
        app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"].replace("://", "+psycopg2://", 1)
        db.init_app(app)

        @app.post("/users")
        def add():
            db.session.add(user := User(name=request.json["name"]))
            db.session.commit()
            return jsonify(id=user.id), 201

        return app
"""
TESTS = """
    import unittest

    from app import User, create_app, db


    class Users(unittest.TestCase):
        def setUp(self):
            self.app = create_app()
            self.context = self.app.test_request_context()
            self.context.push()
            db.create_all()

        def tearDown(self):
            db.session.remove()
            db.drop_all()
            self.context.pop()


    def make(number):
        def test(self):
            answer = self.app.test_client().post("/users", json={"name": f"user {number}"})
            self.assertEqual(answer.json, {"id": 1})
            self.assertEqual(User.query.count(), 1)

        return test


    for number in range(25):
        setattr(Users, f"test_{number:03}", make(number))
"""


def test_a_unittest_suite_that_creates_and_drops_its_tables_for_every_test(suite: Suite) -> None:
    suite.write(**{"pyproject.toml": ""}, app=APP, test_app=TESTS)
    ran = suite.run_under_mintdb("-m", "unittest", "test_app")
    assert ran.code == 0, ran.output
    assert "Ran 25 tests" in ran.output
    assert "app.py:18 in create_app" in ran.output

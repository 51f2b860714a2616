import pytest

from webshop import create_app


@pytest.fixture
def app():
    """An app for each test, as Flask's own documentation has it; nobody disposes of its engines."""
    return create_app()


@pytest.fixture
def client(app):
    return app.test_client()

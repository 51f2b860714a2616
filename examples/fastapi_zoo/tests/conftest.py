import pytest
from httpx import ASGITransport, AsyncClient

from zoo.main import app


@pytest.fixture
async def client():
    """No dependency is overridden: the application uses its own sessions, and they really commit."""
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://zoo") as client:
        yield client

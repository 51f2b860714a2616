"""Schemathesis invents requests to the API; each example starts from the shows that the migrations made."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from box_office.urls import api
from mintdb.hypothesis import rewind_examples
from tickets.models import Ticket

SCHEMA = schemathesis.openapi.from_dict(api.get_openapi_schema())


@pytest.mark.django_db(transaction=True)
@rewind_examples
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=SCHEMA.as_strategy())
def test_it_keeps_its_word(live_server, case):
    case.call_and_validate(base_url=live_server.url)
    assert Ticket.objects.count() <= 1

"""What the page shows, as JSON, with an OpenAPI schema."""

from typing import Annotated

from ninja import NinjaAPI, Path, Schema, Status
from pydantic import StringConstraints

from tickets.models import Show, SoldOut

api = NinjaAPI(title="Box office", version="1")
Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[A-Za-z ]+$")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class ShowOut(Schema):
    id: int
    title: str
    seats: int


class TicketIn(Schema):
    buyer: Name


class TicketOut(Schema):
    id: int
    buyer: str


class Problem(Schema):
    detail: str


@api.get("/shows", response=list[ShowOut])
def shows(request):
    return list(Show.objects.order_by("title"))


@api.post("/shows/{show}/tickets", response={201: TicketOut, 404: Problem, 409: Problem, 422: dict})
def buy(request, show: Number, ticket: TicketIn):
    found = Show.objects.filter(pk=show).first()
    if found is None:
        return Status(404, {"detail": "no such show"})
    try:
        return Status(201, found.sell(ticket.buyer))
    except SoldOut:
        return Status(409, {"detail": "sold out"})

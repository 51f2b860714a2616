"""What a worker does, in a process of its own."""

from celery import shared_task

from tickets.models import Ticket


@shared_task
def confirm(ticket):
    Ticket.objects.filter(pk=ticket).update(confirmed=True)

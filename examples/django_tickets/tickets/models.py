"""Shows with a number of seats, and who has bought one."""

from django.db import models, transaction


class SoldOut(Exception):
    """No seat is left."""


class Show(models.Model):
    title = models.CharField(max_length=80, unique=True)
    seats = models.PositiveIntegerField()

    def sell(self, buyer):
        """Sell one seat, however many buyers come at once. Raises SoldOut."""
        with transaction.atomic():
            show = Show.objects.select_for_update().get(pk=self.pk)
            if show.tickets.count() >= show.seats:
                raise SoldOut(show.title)
            return show.tickets.create(buyer=buyer)


class Ticket(models.Model):
    show = models.ForeignKey(Show, on_delete=models.CASCADE, related_name="tickets")
    buyer = models.CharField(max_length=80)
    confirmed = models.BooleanField(default=False)

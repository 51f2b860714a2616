"""One page: the shows, and a form that buys a ticket."""

from django.shortcuts import get_object_or_404, redirect, render

from tickets.models import Show, SoldOut


def page(request):
    said = ""
    if request.method == "POST":
        show = get_object_or_404(Show, pk=request.POST["show"])
        try:
            show.sell(request.POST["buyer"])
            return redirect("/")
        except SoldOut:
            said = f"{show.title} is sold out"
    shows = Show.objects.prefetch_related("tickets").order_by("title")
    return render(request, "tickets/page.html", {"shows": shows, "said": said})

"""The shop's one page."""

from django.http import HttpResponse, JsonResponse
from django.urls import path

from shop.models import Order


def orders(request):
    if request.method == "POST":
        Order.objects.create(name=request.POST.get("name", "?"))
        return HttpResponse(status=201)
    return JsonResponse({"orders": list(Order.objects.values_list("name", flat=True))})


urlpatterns = [path("orders/", orders)]

"""The page, and the API below it."""

from django.urls import path

from tickets.api import api
from tickets.views import page

urlpatterns = [path("", page), path("api/", api.urls)]

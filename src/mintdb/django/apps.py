"""The app: in INSTALLED_APPS it watches connections from here on, and waits for a test database to be wanted."""

from __future__ import annotations

from django.apps import AppConfig

from mintdb.connections.hooks import watch

watch()  # as early as possible: drivers that are imported later need no search for their connections


class MintdbConfig(AppConfig):  # type: ignore[misc]  # Django is untyped, so its classes are Any
    """`mintdb.django` in INSTALLED_APPS."""

    name = "mintdb.django"
    label = "mintdb"
    verbose_name = "mintdb"

    def ready(self) -> None:
        """Hook Django's test databases; what imports django.test comes only when one is made."""
        from mintdb.django import creation

        creation.install()

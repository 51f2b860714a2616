"""The tests' settings: one line for mintdb, and one because this example names no server of its own."""

import mintdb.django
from box_office.settings import *

INSTALLED_APPS += ["mintdb.django"]
if "DATABASE_PORT" not in os.environ:
    DATABASES = mintdb.django.databases()

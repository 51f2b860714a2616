"""A small project's test settings; a suite's variables say where its database is."""

import json
import os

import mintdb.django

SECRET_KEY = "tests only"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "project.urls"
ALLOWED_HOSTS = ["*"]
STATIC_URL = "static/"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles", "shop"]
if not os.environ.get("SHOP_WITHOUT"):
    INSTALLED_APPS += ["mintdb.django"]
if os.environ.get("SHOP_PSYCOPG2"):
    mintdb.django.use_psycopg2()
if "SHOP_DATABASE" in os.environ:
    DATABASES = {"default": json.loads(os.environ["SHOP_DATABASE"])}
else:
    DATABASES = mintdb.django.databases()
DATABASES["default"].update(json.loads(os.environ.get("SHOP_ALIAS", "{}")))
for alias in os.environ.get("SHOP_ALIASES", "").split():
    DATABASES[alias] = dict(DATABASES["default"])
    if alias == "archive":
        DATABASES[alias]["NAME"] += "_archive"

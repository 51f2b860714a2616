"""What production would use, but for its secrets."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "not a secret")
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "box_office.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles", "tickets"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("DATABASE_NAME", "tickets"),
        "USER": os.environ.get("DATABASE_USER", "tickets"),
        "PASSWORD": os.environ.get("DATABASE_PASSWORD", ""),
        "HOST": os.environ.get("DATABASE_HOST", "127.0.0.1"),
        "PORT": os.environ.get("DATABASE_PORT", "5432"),
    }
}
CELERY_BROKER_URL = os.environ.get("BROKER_URL", "filesystem://")
BROKER_FOLDERS = "data_folder_in", "data_folder_out", "control_folder"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    **dict.fromkeys(BROKER_FOLDERS, os.environ.get("BROKER_FOLDER", "/tmp")),
    "polling_interval": 0.1,  # seconds
}

"""Django's commands; `python manage.py test` uses the test settings."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "box_office.settings_test")
    execute_from_command_line(sys.argv)

"""Django's own commands, for this project."""

import multiprocessing
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if start := os.environ.get("SHOP_START"):
        multiprocessing.set_start_method(start)
    execute_from_command_line(sys.argv)

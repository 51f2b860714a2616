"""A real database in mint condition for every test."""

from __future__ import annotations

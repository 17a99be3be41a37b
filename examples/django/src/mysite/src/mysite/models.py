"""What is in the database: one row for each visit."""

from __future__ import annotations

from django.db import models


class Visit(models.Model):
    """Somebody looked at the page."""

    when = models.DateTimeField(auto_now_add=True)

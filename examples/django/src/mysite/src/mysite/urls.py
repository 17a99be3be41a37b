"""The addresses of the site."""

from __future__ import annotations

from django.urls import path

from mysite.views import front, health

urlpatterns = [path("", front), path("health", health)]

"""The page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from mysite.models import Visit

TEXT = "This is the first version of the site."


def front(request: HttpRequest) -> HttpResponse:
    """Counts this visit and says how many there were."""
    Visit.objects.create()
    return HttpResponse(f"<!doctype html><title>mysite</title><p>{TEXT}</p><p>Visit {Visit.objects.count()}.</p>\n")


def health(request: HttpRequest) -> HttpResponse:
    """Answers when the database does; changes nothing."""
    Visit.objects.exists()
    return HttpResponse("well\n")

"""The settings of the project; everything that has to survive a deployment is in ``MYSITE_VAR``."""

from __future__ import annotations

import os
from pathlib import Path

from mysite.secret import kept

VAR = Path(os.environ["MYSITE_VAR"])
VAR.mkdir(exist_ok=True)

SECRET_KEY = kept(VAR / "secret-key")
DEBUG = os.environ.get("MYSITE_DEBUG") == "yes"
# no page here is made from the name that a visitor used
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = ["mysite"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

"""A Django project of one application: a page that counts its visits in the database."""

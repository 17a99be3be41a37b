"""A WSGI application to deploy: one page that shows where its parts come from."""

"""hostout beside other tools: ``__main__.py`` measures, ``ansible``, ``pyinfra`` and ``fabric`` are what they run."""

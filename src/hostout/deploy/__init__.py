"""From a Release and the Facts of a host to Steps, and the Steps done.

``plan`` decides and is pure, ``engine`` does it on one host, ``fleet`` on many. What does not belong
here: how a Release is made (``packaging``), how a host is talked to (``remote``), what is printed (``output``).
"""

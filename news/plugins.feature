The plugins `collective.hostout:supervisor` and `collective.hostout:mrdeveloper` are back.

"""``python3 -I -S -m hostout_agent QUESTION``: the agent without a loader, for tests and for looking at it."""

import sys

from .serve import main

sys.exit(main(sys.argv[-1]))

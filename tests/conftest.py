"""How hypothesis works here: without looking at the clock, which on a busy machine says nothing of the code;
and in CI with the same examples each time, so that a change is judged by what it changes.

New examples are looked for whenever somebody runs the tests, and by `make worlds` and `make soak`.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "search", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("same", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "search")

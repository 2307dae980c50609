"""How many examples: a fixed quick set by default, many random ones with a profile.

``pytest tests/fuzz --hypothesis-profile=deep`` is the long run. Otherwise the examples are the same
at every run, so that a red test is red for everybody.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

#: How many times as many examples the deep profile makes.
DEEP = 40


def effort(examples: int, *, shrink: bool = True) -> settings:
    """Settings for a test that makes *examples* in the quick run.

    Without *shrink* the first failure is shown as it is: for slow examples that are small anyway.
    """
    deep = settings.get_current_profile_name() == "deep"
    return settings(
        max_examples=examples * DEEP if deep else examples,
        derandomize=not deep,
        database=None,
        deadline=None,
        phases=[p for p in Phase if shrink or p not in (Phase.shrink, Phase.explain)],
        suppress_health_check=list(HealthCheck),
    )

"""Every test of SafeLLaVA's generation, on the other members of the family."""

from test_generation_safe_llava import *  # noqa: F403

"""What quickstart shows while a step takes its time."""

import io
import re

from rich.console import Console

from safe_llava.quickstart.screen import step_bar, step_bars


def test_a_file_says_which_step_it_is_at_before_the_step_ends():
    file = io.StringIO()
    with step_bars(Console(file=file)) as progress, step_bar(progress, "1/5 Convert"):
        assert file.getvalue() == "1/5 Convert\n"


def test_a_terminal_has_the_bar_alone():
    file = io.StringIO()
    with step_bars(Console(file=file, force_terminal=True, width=80)) as progress, step_bar(progress, "1/5 Convert"):
        progress.refresh()
        shown = re.sub(r"\x1b\[[\d;?]*\w", "", file.getvalue())
        assert "1/5 Convert ━" in shown
        assert "1/5 Convert\n" not in shown

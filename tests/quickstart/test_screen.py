"""What quickstart shows while a step takes its time."""

import io

from rich.console import Console

from safe_llava.quickstart.screen import step_bar, step_bars


def test_a_file_says_which_step_it_is_at_before_the_step_ends():
    file = io.StringIO()
    with step_bars(Console(file=file)) as progress, step_bar(progress, "1/5 Convert"):
        assert file.getvalue() == "1/5 Convert\n"


def test_a_terminal_has_the_bar_alone():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, no_color=True, width=80)
    with step_bars(console) as progress, step_bar(progress, "1/5 Convert"):
        progress.refresh()
        assert "1/5 Convert ━" in file.getvalue()
        assert "1/5 Convert\n" not in file.getvalue()

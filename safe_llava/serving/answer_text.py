"""An answer's text, piece by piece: up to a stop text, and without blanks around it."""

from collections.abc import Callable, Sequence


class AnswerText:
    """
    Text that grows, of which only what can no longer become a stop text or a blank at the end is handed on.

    Args:
        stop (`Sequence[str]`): texts that end the answer and are no part of it.
        emit (`Callable`): takes each piece.
    """

    def __init__(self, stop: Sequence[str], emit: Callable[[str], None]):
        self.stop, self.emit = stop, emit
        self.is_stopped = False
        self._pending = ""
        self._has_begun = False

    def add(self, piece: str) -> None:
        """Takes the next piece; after a stop text nothing more counts."""
        if self.is_stopped:
            return
        self._pending += piece
        if not self._has_begun:
            self._pending = self._pending.lstrip()
        found = [place for text in self.stop if (place := self._pending.find(text)) >= 0]
        if found:
            self.is_stopped = True
            self._release(len(self._pending[: min(found)].rstrip()))
            return
        held = max((_count_begun(self._pending, text) for text in self.stop), default=0)
        self._release(len(self._pending[: len(self._pending) - held].rstrip()))

    def end(self) -> None:
        """Hands on what was held: no more will come."""
        if not self.is_stopped:
            self._release(len(self._pending.rstrip()))

    def _release(self, length: int) -> None:
        if length:
            self._has_begun = True
            self.emit(self._pending[:length])
            self._pending = self._pending[length:]


def _count_begun(text: str, stop: str) -> int:
    """How many characters at the end of a text may be the beginning of a stop text."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)

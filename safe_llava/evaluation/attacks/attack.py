"""What every attack is: a name, and a way to try rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .attack_reply import AttackReply
from .attack_row import AttackRow
from .attack_target import AttackTarget


def _always(row: AttackRow) -> bool:
    return True


@dataclass(frozen=True)
class Attack:
    """
    A way to try rows.

    Args:
        name (`str`): its name, which no other attack has.
        suite (`str`): the suite that it belongs to.
        about (`str`): what it does, in words.
        attempt (`Callable[[AttackTarget, Sequence[AttackRow]], list[AttackReply]]`):
            Tries rows: a reply for each, of its best try.
        applies (`Callable[[AttackRow], bool]`, *optional*):
            Of which rows the risk is still there when the attack has changed them. By default of all.
        begins_answer (`bool`, *optional*, defaults to `False`): whether the attacker writes how the answer begins.
    """

    name: str
    suite: str
    about: str
    attempt: Callable[[AttackTarget, Sequence[AttackRow]], list[AttackReply]]
    applies: Callable[[AttackRow], bool] = _always
    begins_answer: bool = False


def change_rows(
    name: str,
    suite: str,
    about: str,
    change: Callable[[AttackRow], AttackRow],
    applies: Callable[[AttackRow], bool] = _always,
) -> Attack:
    """An attack that changes what is asked and knows nothing of the model."""

    def attempt(target: AttackTarget, rows: Sequence[AttackRow]) -> list[AttackReply]:
        return target.ask([change(row) for row in rows])

    return Attack(name, suite, about, attempt, applies)

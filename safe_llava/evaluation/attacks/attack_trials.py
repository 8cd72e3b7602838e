"""Attacks on rows, one after the other, each outcome kept at once and none tried twice."""

from collections.abc import Callable, Sequence

from tqdm import tqdm

from .attack import Attack
from .attack_figures import CLEAN
from .attack_reply import AttackReply
from .attack_row import AttackRow
from .attack_target import AttackTarget
from .outcome_log import Outcome, OutcomeLog


def _keep_nothing(attack: Attack, replies: Sequence[AttackReply]) -> None: ...


def try_attacks(
    target: AttackTarget,
    attacks: Sequence[Attack],
    rows: Sequence[AttackRow],
    log: OutcomeLog,
    model: str,
    on_replies: Callable[[Attack, Sequence[AttackReply]], None] = _keep_nothing,
) -> list[Outcome]:
    """
    Tries every attack on every row that it applies to, and the rows as they are.

    Args:
        target ([`AttackTarget`]): what is attacked.
        attacks (`Sequence[Attack]`): the attacks.
        rows (`Sequence[AttackRow]`): the rows.
        log ([`OutcomeLog`]): what it holds already of this model and the target's seed is not tried again.
        model (`str`): names the model in the log.
        on_replies (`Callable`, *optional*): told of the replies to an attack before their outcomes are kept.

    Returns:
        `list[Outcome]`: all of these attacks and rows.
    """
    clean = Attack(CLEAN, CLEAN, "the rows as they are", lambda target, rows: target.ask(rows))
    for attack in tqdm([clean, *attacks], desc="attacks"):
        new = [row for row in rows if (model, attack.name, row.key, target.seed) not in log.outcomes]
        wanted = [row for row in new if attack.applies(row)]
        for start in tqdm(range(0, len(wanted), target.batch_size), desc=attack.name, leave=False):
            replies = attack.attempt(target, wanted[start : start + target.batch_size])
            on_replies(attack, replies)
            log.add([Outcome.of(model, attack.name, target.seed, reply) for reply in replies])
    names = {attack.name for attack in (clean, *attacks)}
    keys = {row.key for row in rows}
    return [
        outcome
        for outcome in log.outcomes.values()
        if outcome.model == model and outcome.seed == target.seed and outcome.attack in names and outcome.row in keys
    ]

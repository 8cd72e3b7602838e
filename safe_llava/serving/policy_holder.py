"""The operator's policy: what is in force, and how another one takes its place without a request in between."""

import hashlib
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..guards.assessing_guard import AssessingGuard
from ..models.safety_policy import SafetyPolicy, read_policy_changes
from .policy_strictness import make_stricter


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PolicyInForce:
    """
    A policy and the name that answers and the log know it by.

    Args:
        policy ([`SafetyPolicy`]): the policy.
        version (`str`): a digest of all its fields, the same as in an audit's results.
    """

    policy: SafetyPolicy
    version: str

    @classmethod
    def of(cls, policy: SafetyPolicy) -> "PolicyInForce":
        """The policy with its version."""
        return cls(policy, hashlib.sha256(policy.to_json_string().encode()).hexdigest()[:12])


class PolicyHolder:
    """
    Holds the policy in force: the checkpoint's, with the changes of the operator's file.

    Args:
        guard ([`AssessingGuard`]): what enforces it.
        path (`Path`, *optional*): the operator's file.

    Raises:
        ValueError: if there is neither a stored policy nor a file, or if the file is wrong.
    """

    def __init__(self, guard: AssessingGuard, path: Path | None = None):
        self.guard, self.path = guard, path
        self._turn = threading.Lock()
        self._stored = guard.policy
        if self._stored is None and path is None:
            raise ValueError(
                "The checkpoint has no safety policy, so nothing would act on verdicts. Give one with --policy FILE; "
                "a file that holds {} takes the defaults."
            )
        policy = self._read()
        guard.enforce(policy)
        self.current = PolicyInForce.of(policy)

    def reload(self) -> bool:
        """
        Reads the file again. A file that is wrong changes nothing, and the log says what is wrong with it.

        Returns:
            `bool`: whether what the file says is in force.
        """
        with self._turn:
            try:
                policy = self._read()
                self.guard.enforce(policy)
            except (OSError, ValueError) as error:
                logger.error("The policy stays %s, for its file is wrong: %s", self.current.version, error)
                return False
            self.current = PolicyInForce.of(policy)
            logger.warning("The policy is %s now.", self.current.version)
            return True

    def stricter(self, changes: dict[str, Any] | None) -> PolicyInForce:
        """The policy for a request that names changes; see [`make_stricter`]."""
        current = self.current
        return PolicyInForce.of(make_stricter(current.policy, changes)) if changes else current

    def _read(self) -> SafetyPolicy:
        changes = {} if self.path is None else read_policy_changes(self.path)
        return (self._stored or SafetyPolicy()).updated(changes)

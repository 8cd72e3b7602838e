"""A decision that was taken and written down already, in the form in which `generate` acts on decisions."""

from typing import Any

from ..models.safety_policy import SafetyDecision, SafetyPolicy


class DecidedPolicy(SafetyPolicy):
    """
    Decides what was decided. `generate` assesses once more, on the same features in another batch, and rounding must
    not make it act otherwise than the client and the audit log were told.

    Args:
        policy ([`SafetyPolicy`]): the policy that decided, whose texts are known to the model.
        decision ([`SafetyDecision`]): what it decided.
    """

    def __init__(self, policy: SafetyPolicy, decision: SafetyDecision):
        super().__init__(**policy.to_dict())
        self._decision = decision

    def decide(self, *args: Any, **kwargs: Any) -> SafetyDecision:
        return self._decision

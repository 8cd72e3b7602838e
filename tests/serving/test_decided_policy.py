"""What was decided and written down is what is done, whatever a second look finds."""

import pytest
import torch

from safe_llava.models.safety_policy import SafetyDecision
from safe_llava.serving.decided_policy import DecidedPolicy


@pytest.mark.parametrize("action", ["answer", "hint", "refuse"])
def test_generate_does_what_was_decided(alarmed_safe_llava, tiny_processor, make_image, action):
    policy = alarmed_safe_llava.safety_policy
    texts = {"answer": (), "hint": (policy.hints["privacy"]["low"],), "refuse": (policy.refusals["privacy"],)}[action]
    decision = SafetyDecision(action, "low", ("privacy",), texts)
    content = [*({"type": "image", "image": make_image(seed)} for seed in range(2)), {"type": "text", "text": "Who?"}]
    inputs = tiny_processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    features = alarmed_safe_llava.get_image_features(inputs.pop("pixel_values"), return_dict=True)
    output = alarmed_safe_llava.generate(
        **inputs,
        mm_encoder_outputs={"image": features},
        safety_policy=DecidedPolicy(policy, decision),
        max_new_tokens=2,
        do_sample=False,
        return_dict_in_generate=True,
    )
    assert output.safety_decisions == [decision]
    assert torch.equal(output.sequences[:, : inputs["input_ids"].shape[1]], inputs["input_ids"])

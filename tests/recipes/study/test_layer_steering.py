"""What an attack descends is a steered model as it answers."""

import copy

import torch

from recipes.study.rivals.layer_steering import Steering


@torch.no_grad()
def test_an_answer_read_with_its_prompt_is_steered_as_one_that_is_said(tiny_llava, tiny_llava_processor, make_image):
    prompts = tiny_llava_processor(
        images=[[make_image(0)], []],
        text=["USER: <image>\nWho is this? ASSISTANT:", "USER: Who is this? ASSISTANT:"],
        padding=True,
        padding_side="left",
        return_tensors="pt",
    )
    model, begun, said = copy.deepcopy(tiny_llava), [], torch.tensor([[7, 9], [7, 9]])
    Steering(model, lambda place, hidden: 3 * hidden, "last", lambda *prompt: begun.append(prompt))
    ids = torch.cat([prompts["input_ids"], said], dim=1)
    mask = torch.cat([prompts["attention_mask"], torch.ones_like(said)], dim=1)
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)
    how = {"pixel_values": prompts["pixel_values"], "position_ids": places}
    at_once = model(input_ids=ids, attention_mask=mask, logits_to_keep=3, **how).logits
    how["position_ids"] = places[:, :-2]
    step = model(**{**prompts, **how}, logits_to_keep=1)
    logits = [step.logits]
    for left in (2, 1):
        length = ids.shape[1] - left + 1
        step = model(
            input_ids=ids[:, length - 1 : length],
            attention_mask=mask[:, :length],
            position_ids=places[:, length - 1 : length],
            past_key_values=step.past_key_values,
            logits_to_keep=1,
        )
        logits.append(step.logits)
    torch.testing.assert_close(at_once, torch.cat(logits, dim=1), atol=1e-4, rtol=1e-4)
    assert all(torch.equal(*each) for each in zip(*begun))

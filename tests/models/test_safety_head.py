"""The safety head attends from each row to its own pictures, at a cost that grows with the pictures alone."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from safe_llava.models.safety_evidence import measure_influence


@pytest.fixture(params=["question", "first"])
def head(request, tiny_safe_llava):
    head = copy.deepcopy(tiny_safe_llava.model.safety_modules.head)
    head.pooling = request.param
    return head


def head_inputs(image_rows: list[int], batch_size: int, num_tokens: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(batch_size, 5, 32, generator=generator)
    mask = torch.rand(batch_size, 5, generator=generator) > 0.3
    mask[:, 0] = True
    tokens = torch.randn(num_tokens, 32, generator=generator)
    features = torch.randn(len(image_rows), 9, 32, generator=generator)
    return [text, mask, tokens, features, torch.tensor(image_rows, dtype=torch.long)]


def judge_with_a_mask(head, text, mask, tokens, features, image_rows):
    """The definition: every row scores every key of the batch, and a mask hides the pictures of other rows."""
    queries = head.pool_text(text, mask)
    keys = torch.cat([tokens, features.flatten(0, 1)])
    keys = head.key_norm(keys) if head.pooling == "question" else keys
    keys, values = (
        layer(keys).unflatten(-1, (head.num_heads, head.head_dim)) for layer in (head.key_layer, head.value_layer)
    )
    own = image_rows.repeat_interleave(features.shape[1]) == torch.arange(len(text)).unsqueeze(1)
    own = torch.cat([own.new_ones(len(text), len(tokens)), own], dim=1).unsqueeze(1)
    scores = torch.einsum("bhd,khd->bhk", queries, keys) * head.head_dim**-0.5
    weights = scores.masked_fill(~own, torch.finfo(scores.dtype).min).softmax(dim=-1) * own
    attended = head.gate(torch.einsum("bhk,khd->bhd", weights, values), queries)
    pooled = head.output_layer(attended.flatten(1))
    return head.level_classifier(pooled), head.type_classifier(pooled)


@pytest.mark.parametrize("image_rows", [[], [0], [0, 0, 2], [2], [0, 1, 1, 1, 2]])
@pytest.mark.parametrize("num_tokens", [0, 4])
def test_a_row_reads_the_safety_tokens_and_its_own_images(head, image_rows, num_tokens):
    arguments = head_inputs(image_rows, batch_size=3, num_tokens=num_tokens)
    for logits, expected in zip(head(*arguments), judge_with_a_mask(head, *arguments)):
        torch.testing.assert_close(logits, expected, atol=5e-6, rtol=1e-4)


def test_gradients_are_those_of_the_definition(head):
    arguments = head_inputs([0, 0, 2], batch_size=3)
    features = arguments[3].requires_grad_()
    gradients = []
    for judge in (head, lambda *args: judge_with_a_mask(head, *args)):
        loss = sum(logits.square().sum() for logits in judge(*arguments))
        gradients.append(torch.autograd.grad(loss, [features, *head.parameters()], allow_unused=True))
    for gradient, expected in zip(*gradients):
        torch.testing.assert_close(gradient, expected, atol=5e-4, rtol=1e-3)


def test_scores_of_any_size_give_finite_logits(head):
    arguments = head_inputs([0, 0, 2], batch_size=3)
    with torch.no_grad():
        head.key_layer.weight *= 1e4
    assert all(logits.isfinite().all() for logits in head(*arguments))


class LargestTensor(TorchDispatchMode):
    """Remembers how many elements the largest result of an operation had."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numel = max(self.numel, result.numel())
        return result


@pytest.mark.parametrize("measures_influence", [False, True])
def test_memory_grows_with_the_batch_and_not_with_its_square(head, measures_influence):
    sizes = []
    for batch_size in (16, 64):
        with torch.no_grad(), LargestTensor() as largest:
            inputs = head_inputs(list(range(batch_size)), batch_size)
            _, type_logits = head(*inputs)
            if measures_influence:
                measure_influence(head, *inputs, type_logits)
        sizes.append(largest.numel)
    assert sizes[1] <= 4 * sizes[0]

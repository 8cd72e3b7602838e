"""The loss of the safety head: of one class, of several possible ones, and of rows that say nothing."""

import math

import pytest
import torch
from torch.nn import functional as F

from safe_llava import SafeLlavaForSafetyClassification
from safe_llava.models.safety_loss import (
    excludes,
    has_label,
    label_information,
    safety_cross_entropy,
    safety_row_losses,
    single_classes,
)


NUM_CLASSES = (4, 7)


@pytest.fixture
def logits(num_rows, num_classes):
    """From logits that are even to logits of which one is all but certain."""
    torch.manual_seed(num_rows)
    return (torch.randn(num_rows, num_classes) * torch.logspace(-2, 2, num_rows).unsqueeze(1)).requires_grad_()


@pytest.fixture
def classes(num_rows, num_classes):
    """Every third row is unlabelled."""
    labels = torch.randint(num_classes, (num_rows,), generator=torch.Generator().manual_seed(num_rows))
    return torch.where(torch.arange(num_rows) % 3 == 2, -100, labels)


def as_mask(classes, num_classes):
    return classes.unsqueeze(1) == torch.arange(num_classes)


@pytest.mark.parametrize("num_classes", NUM_CLASSES)
@pytest.mark.parametrize("num_rows", [1, 2, 3, 8, 33, 1000])
def test_sets_of_one_class_have_the_loss_of_that_class_to_the_bit(logits, classes, num_classes):
    expected = F.cross_entropy(logits, classes, ignore_index=-100, reduction="sum") / (classes != -100).sum()
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    for labels in (classes, as_mask(classes, num_classes)):
        loss = safety_cross_entropy(logits, labels)
        assert torch.equal(loss, expected)
        (gradient,) = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-7)


@pytest.mark.parametrize("num_classes", NUM_CLASSES)
@pytest.mark.parametrize("num_rows", [8])
def test_the_loss_of_a_set_is_that_of_its_probability(logits, num_rows, num_classes):
    sets = torch.rand(num_rows, num_classes) < 0.5
    sets[:, 0], sets[:, 1] = True, False
    expected = -(logits.double().softmax(dim=1) * sets).sum(dim=1).log()
    torch.testing.assert_close(safety_row_losses(logits, sets).double(), expected, rtol=1e-4, atol=1e-6)
    total = expected.sum() / label_information(sets).sum()
    torch.testing.assert_close(safety_cross_entropy(logits, sets).double(), total, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_classes", NUM_CLASSES)
def test_to_a_head_that_knows_nothing_every_set_weighs_as_much_as_one_class(num_classes):
    for num_possible in range(1, num_classes):
        labels = (torch.arange(num_classes) < num_possible).expand(5, -1)
        loss = safety_cross_entropy(torch.zeros(5, num_classes), labels)
        assert loss.item() == pytest.approx(math.log(num_classes), rel=1e-5)


@pytest.mark.parametrize("num_classes", NUM_CLASSES)
@pytest.mark.parametrize("num_rows", [8])
@pytest.mark.parametrize("says_nothing", [True, False], ids=["every class", "no class"])
def test_a_set_that_says_nothing_counts_as_no_label(logits, classes, num_classes, says_nothing):
    labels = as_mask(classes, num_classes)
    labels[classes == -100] = says_nothing
    loss = safety_cross_entropy(logits, labels)
    assert torch.equal(loss, safety_cross_entropy(logits, classes))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[classes == -100].any()
    nothing = safety_cross_entropy(logits, torch.full_like(labels, says_nothing))
    nothing.backward()
    assert nothing == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_all_but_impossible_set_has_a_finite_loss_and_gradient(dtype):
    logits = torch.tensor([[1e4, 0.0, 0.0, -1e4]], dtype=dtype, requires_grad=True)
    loss = safety_cross_entropy(logits, torch.tensor([[False, True, False, True]]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_a_mask_gives_its_single_classes_and_the_rows_that_say_something():
    mask = torch.tensor([[0, 0, 1, 0], [0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()
    assert single_classes(mask).tolist() == [2, -100, -100, -100, 0]
    assert has_label(mask).tolist() == [True, True, False, False, True]
    assert excludes(mask, 0).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(3, 4, dtype=torch.long), torch.ones(3, 7).bool(), torch.ones(3).bool(), torch.ones(3, 4)],
    ids=["a mask of integers", "a mask of the wrong width", "a mask of rows", "probabilities"],
)
def test_labels_of_another_shape_are_refused(labels):
    with pytest.raises(ValueError, match=r"bool mask of possible classes of shape \(3, 4\)"):
        safety_cross_entropy(torch.zeros(3, 4), labels)


@pytest.mark.parametrize("form", ["model", "guard", "guard by `labels`"])
def test_every_forward_takes_masks(form, tiny_safe_llava, tiny_processor, make_image, tmp_path):
    model = tiny_safe_llava
    if form != "model":
        model.save_pretrained(tmp_path)
        model = SafeLlavaForSafetyClassification.from_pretrained(tmp_path)
    inputs = tiny_processor(images=[make_image(0), make_image(1)], text=["<image> What ?"] * 2, return_tensors="pt")
    levels, types = torch.tensor([3, 0]), torch.tensor([4, 6])
    losses = []
    for level, kind in ((levels, types), (as_mask(levels, 4), as_mask(types, 7))):
        name = "labels" if form == "guard by `labels`" else "safety_type"
        outputs = model(**inputs, safety_level=level, **{name: kind})
        losses.append((outputs.level_loss, outputs.type_loss))
    assert losses[0] == losses[1]

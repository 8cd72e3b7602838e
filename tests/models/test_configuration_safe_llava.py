import pytest
from transformers import AutoConfig, LlavaConfig

from safe_llava import SafeLlavaConfig
from safe_llava.models.safety_labels import SAFETY_TYPES


def test_defaults_are_a_llava_1_5_7b_with_the_papers_safety_modules():
    config = SafeLlavaConfig()
    assert (config.num_safety_tokens, config.num_safety_visual_tokens) == (64, 576)
    assert config.safety_projector_hidden_size == 1024 + 64
    assert config.image_seq_length == 640


def test_image_seq_length_follows_the_vision_tower_and_the_tokens():
    config = SafeLlavaConfig(vision_config={"image_size": 224, "patch_size": 14}, num_safety_tokens=8)
    assert config.image_seq_length == 16 * 16 + 8


def test_image_seq_length_counts_a_cls_token_that_is_kept():
    assert SafeLlavaConfig(vision_feature_select_strategy="full").image_seq_length == 641


def test_image_seq_length_of_a_tower_without_a_cls_token():
    tower = {"model_type": "siglip_vision_model", "image_size": 224, "patch_size": 16, "hidden_size": 768}
    lengths = [
        SafeLlavaConfig(vision_config=tower, vision_feature_select_strategy=strategy).image_seq_length
        for strategy in ("full", "default")
    ]
    assert lengths == [14 * 14 + 64, 14 * 14 + 64 - 1]


def test_config_builds_from_a_stock_config():
    stock = LlavaConfig(vision_feature_layer=-1).to_dict()
    stock.pop("model_type")
    config = SafeLlavaConfig(**stock)
    assert (config.vision_feature_layer, config.image_seq_length) == (-1, 640)


def test_config_survives_a_round_trip_through_autoconfig(tmp_path):
    config = SafeLlavaConfig(num_safety_tokens=16, safety_head_pooling="first")
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is SafeLlavaConfig
    assert loaded.to_diff_dict() == config.to_diff_dict()


def test_config_always_names_the_classes_that_load_it_as_remote_code():
    auto_classes = [
        "AutoConfig",
        "AutoModel",
        "AutoModelForImageClassification",
        "AutoModelForImageTextToText",
        "AutoModelForMultimodalLM",
        "AutoProcessor",
    ]
    assert sorted(SafeLlavaConfig().to_dict()["auto_map"]) == auto_classes


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"num_safety_visual_tokens": 500}, "num_safety_visual_tokens"),
        ({"num_safety_tokens": -1}, "num_safety_tokens"),
        ({"safety_head_num_attention_heads": 7}, "safety_head_num_attention_heads"),
        ({"safety_head_pooling": "mean"}, "safety_head_pooling"),
        ({"safety_feature_dropout": 1.0}, "safety_feature_dropout"),
        ({"safety_projector_type": "linear"}, "safety_projector_type"),
    ],
)
def test_wrong_value_is_refused_by_the_name_of_its_field(arguments, field):
    with pytest.raises(Exception, match=field):
        SafeLlavaConfig(**arguments)


OTHER_LABELS = {
    "num_labels": (2, 5, 0),
    "id2label": ({0: "cat", 1: "dog"}, dict(enumerate(SAFETY_TYPES[::-1])), {}),
    "label2id": ({"cat": 0, "dog": 1}, {}),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in OTHER_LABELS.items() for value in values]
)
def test_labels_other_than_the_risk_types_are_refused_wherever_they_come_in(name, value, tmp_path):
    SafeLlavaConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"`{name}` cannot be .*politics, illegal"):
        SafeLlavaConfig(**{name: value})
    with pytest.raises(ValueError, match=f"`{name}` cannot be"):
        AutoConfig.from_pretrained(tmp_path, **{name: value})
    with pytest.raises(ValueError, match=f"`{name}` cannot be"):
        setattr(SafeLlavaConfig(), name, value)


def test_the_risk_types_themselves_may_be_named(tmp_path):
    names = list(SAFETY_TYPES)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    for changes in ({"num_labels": 7}, labels, {"num_labels": 7, **labels}):
        config = SafeLlavaConfig(**changes)
        config.save_pretrained(tmp_path)
        for known in (config, AutoConfig.from_pretrained(tmp_path, **changes)):
            assert (known.num_labels, known.id2label, known.label2id) == (7, labels["id2label"], labels["label2id"])


def test_the_labels_that_every_stock_config_has_give_way_to_the_risk_types():
    stock = LlavaConfig().to_dict()
    del stock["model_type"]
    stock |= {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    assert list(SafeLlavaConfig(**stock).id2label.values()) == list(SAFETY_TYPES)

import pytest
from transformers import AutoConfig, LlavaConfig

from safe_llava import SafeLlavaConfig


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
        ({"safety_projector_type": "linear"}, "safety_projector_type"),
    ],
)
def test_wrong_value_is_refused_by_the_name_of_its_field(arguments, field):
    with pytest.raises(Exception, match=field):
        SafeLlavaConfig(**arguments)

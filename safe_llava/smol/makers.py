MAKERS_OF = {
    "train": ("twemoji", "noto", "noto-v1", "fluent-emoji-flat"),
    "validation": ("emojione", "emojione-v1"),
    "test": ("openmoji", "fxemoji", "streamline-emojis"),
}

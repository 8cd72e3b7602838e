"""Which share of an audit is this process', as `torchrun` and `accelerate launch` say in the environment."""

import os


def read_launcher() -> tuple[int, int, int]:
    """
    The number of this process, of all processes, and of those on this machine; without a launcher 0, 1 and 1.

    Raises:
        ValueError: if the variables do not fit together, which would leave shards to nobody.
    """
    names = ("RANK", "WORLD_SIZE")
    given = {name: os.environ[name] for name in (*names, "LOCAL_WORLD_SIZE") if name in os.environ}
    try:
        values = {name: int(text) for name, text in given.items()}
    except ValueError:
        values = {"RANK": -1}
    rank, world_size = values.get("RANK", 0), values.get("WORLD_SIZE", 1)
    local_world_size = values.get("LOCAL_WORLD_SIZE", 1)
    is_whole = len(given.keys() & {*names}) in (0, 2)
    if not is_whole or not 0 <= rank < world_size or not local_world_size >= 1:
        found = ", ".join(f"{name}={text!r}" for name, text in given.items())
        raise ValueError(
            f"The environment has {found}. A launcher such as torchrun sets RANK and WORLD_SIZE together, with "
            "0 <= RANK < WORLD_SIZE; where there is none, unset all three."
        )
    return rank, world_size, local_world_size

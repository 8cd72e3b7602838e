"""One of the processes that train together: runs the recipe once for each configuration file."""

import sys

from accelerate import Accelerator

from recipes.train import main


if __name__ == "__main__":
    # The processes stay a group until the last training has ended.
    Accelerator.end_training = lambda self: None
    for config in sys.argv[1:]:
        main(["--config", config])

"""Everything that travels with a checkpoint. These files import nothing of the package outside this folder."""

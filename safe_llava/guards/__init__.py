"""What programs around a guard ask of it, and the guards that there are: of a checkpoint, and of an exported folder."""

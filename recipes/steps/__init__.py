"""Steps of a long run, each a command line, and what is known of each."""

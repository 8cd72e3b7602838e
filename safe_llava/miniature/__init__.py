"""A synthetic world and a small LLaVA that knows it, so that the whole method runs offline."""

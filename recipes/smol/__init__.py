"""A real small LLaVA from registry packages: others' language model, others' drawings, others' image weights."""

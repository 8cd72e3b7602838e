"""A model beside its base on public benchmarks and utility tasks, and the head as a classifier."""

"""What safety costs, in counts that no clock can change and in times beside stock LLaVA."""

"""The result stage: finished sums to bytes of feature maps."""

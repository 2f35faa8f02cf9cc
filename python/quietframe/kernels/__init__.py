"""What classical filters share: neighbourhoods, line kernels, block matching, and work spread over threads."""

"""Networks, each in one self-contained file that a model package ships as its architecture."""

"""How far to trust a result when there is no truth."""

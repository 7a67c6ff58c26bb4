"""A web shop with tables of its own, whose orders are fulfilled by a saga."""

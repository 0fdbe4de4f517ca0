"""Two clusters with one limit: limits divided by weight, and folders made from the single cluster's files."""

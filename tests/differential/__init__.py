"""Our server beside the reference's: the same configuration, the same requests, and everything a user can see compared.

`make differential` runs it; it needs Go, and the reference's source.
"""

"""The lint floor: what loads and is hardly meant, in configurations and in the Envoy and mesh files beside them.

Values and pure functions: files come in as bytes, findings go out, each with its place, its rule and what to write
instead. Whatever a file holds, it ends in findings, never in an exception. Every rule is told in docs/lint.md.
"""

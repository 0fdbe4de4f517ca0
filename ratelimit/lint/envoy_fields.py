"""The fields of Envoy's rate limit messages, of release 1.40, and those without which it refuses them."""

FILTER = frozenset(
    [
        "@type",
        "domain",
        "stage",
        "request_type",
        "timeout",
        "failure_mode_deny",
        "rate_limited_as_resource_exhausted",
        "rate_limit_service",
        "enable_x_ratelimit_headers",
        "disable_x_envoy_ratelimited_header",
        "rate_limited_status",
        "response_headers_to_add",
        "status_on_error",
        "stat_prefix",
        "filter_enabled",
        "filter_enforced",
        "failure_mode_deny_percent",
        "rate_limits",
        "metadata_namespace",
        "enable_retry_after_header",
    ]
)
NETWORK_FILTER = frozenset(
    ["@type", "stat_prefix", "domain", "descriptors", "timeout", "failure_mode_deny", "rate_limit_service"]
)
PER_ROUTE = frozenset(["@type", "vh_rate_limits", "override_option", "rate_limits", "domain"])
SERVICE = frozenset(["grpc_service", "transport_api_version"])
GRPC_SERVICE = frozenset(["envoy_grpc", "google_grpc", "timeout", "initial_metadata", "retry_policy"])
ENVOY_GRPC = frozenset(
    ["cluster_name", "authority", "retry_policy", "max_receive_message_length", "skip_envoy_headers"]
)
RETRY_POLICY = frozenset(
    [
        "retry_back_off",
        "num_retries",
        "retry_on",
        "retry_priority",
        "retry_host_predicate",
        "host_selection_retry_max_attempts",
    ]
)
POLICY = frozenset(
    ["stage", "disable_key", "actions", "limit", "hits_addend", "apply_on_stream_done", "x_ratelimit_option"]
)
HITS_ADDEND = frozenset(["number", "format", "is_negative_hits"])
HEADER_MATCHER = frozenset(
    [
        "name",
        "invert_match",
        "treat_missing_header_as_empty",
        "exact_match",
        "safe_regex_match",
        "range_match",
        "present_match",
        "prefix_match",
        "suffix_match",
        "contains_match",
        "string_match",
    ]
)
STRING_MATCHER = frozenset(["exact", "prefix", "suffix", "contains", "safe_regex", "custom", "ignore_case"])
_VALUED = frozenset(["descriptor_value", "default_value", "descriptor_key"])
ACTIONS = {
    "source_cluster": frozenset[str](),
    "destination_cluster": frozenset[str](),
    "request_headers": frozenset(["header_name", "descriptor_key", "skip_if_absent"]),
    "query_parameters": frozenset(["query_parameter_name", "descriptor_key", "skip_if_absent"]),
    "remote_address": frozenset[str](),
    "masked_remote_address": frozenset(["v4_prefix_mask_len", "v6_prefix_mask_len"]),
    "generic_key": _VALUED,
    "header_value_match": _VALUED | {"expect_match", "headers"},
    "query_parameter_value_match": _VALUED | {"expect_match", "query_parameters"},
    "remote_address_match": _VALUED | {"address_matcher"},
    "metadata": frozenset(["descriptor_key", "metadata_key", "default_value", "source", "skip_if_absent"]),
    "dynamic_metadata": frozenset(["descriptor_key", "metadata_key", "default_value"]),
    "extension": frozenset(["name", "typed_config"]),
}
REQUIRED = {
    "request_headers": ("header_name", "descriptor_key"),
    "query_parameters": ("query_parameter_name", "descriptor_key"),
    "generic_key": ("descriptor_value",),
    "header_value_match": ("descriptor_value", "headers"),
    "query_parameter_value_match": ("descriptor_value", "query_parameters"),
    "remote_address_match": ("descriptor_value", "address_matcher"),
    "metadata": ("descriptor_key", "metadata_key"),
}
DEPRECATED_MATCHES = {
    "exact_match": "string_match: {exact: …}",
    "prefix_match": "string_match: {prefix: …}",
    "suffix_match": "string_match: {suffix: …}",
    "contains_match": "string_match: {contains: …}",
    "safe_regex_match": "string_match: {safe_regex: …}",
}
STAGE_MAX = 10

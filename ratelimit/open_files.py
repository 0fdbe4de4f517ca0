"""How many files and sockets the process may have open."""

import resource

# Where the hard limit is infinite or huge: more than any number of clients, and the kernel's own usual maximum.
OPEN_FILES_MAX = 1_048_576


def raise_open_files() -> tuple[int, int]:
    """Raise the soft limit to the hard one: what it was, and what it is now.

    A soft limit of 1,024, the usual default, is one client too few for a service; only the hard one is meant to bound.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS allows less than its hard limit says
            return soft, soft
        return soft, wanted
    return soft, soft

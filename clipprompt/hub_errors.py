"""What the Hub, or the way to it, refuses: one line for the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from clipprompt.errors import UserError

# What the library's connection raises: OSError where it is requests, its own family where it is httpx.
_TRANSPORT_ERRORS: tuple[type[BaseException], ...] = (OSError, *HfHubHTTPError.__mro__[1:2])


@contextmanager
def one_line(repo: str, revision: str | None, endpoint: str) -> Iterator[None]:
    """Runs calls of ``huggingface_hub`` with its errors turned into a user's.

    Args:
        repo: ``org/name``.
        revision: that was asked for; None for the main branch.
        endpoint: address of the Hub.

    Raises:
        UserError: in place of whatever the library raises for a request that fails.
    """
    try:
        yield
    except RevisionNotFoundError as error:
        raise UserError(f"{repo} has no revision {revision or 'main'!r}") from error
    except GatedRepoError as error:
        raise UserError(f"{repo} is gated: ask for access on its page, and log in with `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"there is no repository {repo} at {endpoint}, or your token may not see it") from error
    except HfHubHTTPError as error:
        raise UserError(_refused(repo, endpoint, error)) from error
    except EntryNotFoundError as error:  # nothing could be asked: the reason is in its cause
        cause = error.__cause__ or error
        said = _refused(repo, endpoint, cause) if isinstance(cause, HfHubHTTPError) else _unreached(endpoint, cause)
        raise UserError(said) from error
    except _TRANSPORT_ERRORS as error:
        raise UserError(_unreached(endpoint, error)) from error
    except (ValueError, RuntimeError) as error:  # of an upload that failed, the reason is in its cause
        raise UserError(f"{endpoint} does not take {repo}: {_first(error.__cause__ or error)}") from error


def _refused(repo: str, endpoint: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status == 401:
        return f"{endpoint} does not know your token: log in with `hf auth login`, or set HF_TOKEN"
    if status == 403:
        if error.response.request.method in ("GET", "HEAD"):
            return f"your token may not read {repo}: ask for access on its page, or use another token"
        return f"your token may not write to {repo}: use one with write access to {repo.partition('/')[0]}"
    return f"{endpoint} answers {status} for {repo}: {error.server_message or _first(error)}"


def _unreached(endpoint: str, error: BaseException) -> str:
    return f"cannot reach {endpoint} ({_first(error)}); check the connection, and HF_ENDPOINT if it is set"


def _first(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

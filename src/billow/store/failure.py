# SPDX-License-Identifier: Apache-2.0
"""What a database says when it fails, in Billow's words."""

from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from billow.errors import BillowError, Bug, Unavailable


def explained(error: SQLAlchemyError | TimeoutError) -> BillowError:
    """Return the error to raise in the place of a database's own.

    `Unavailable` when trying again may help: no connection, no answer, no space, locked for too
    long.
    """
    if isinstance(error, TimeoutError):
        return Unavailable(
            "the database did not answer in time",
            details=(str(error),),
            fix="see that the database runs and can be reached; then try again",
            code="store-unavailable",
        )
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError | ProgrammingError):
        return Unavailable(
            "the database did not do it",
            details=(_said(error),),
            fix="see that the database runs, can be reached and has space left; then try again",
            code="store-unavailable",
        )
    return Bug("the store broke a rule of its database", details=(_said(error),))


def of_commit(error: SQLAlchemyError | TimeoutError) -> BillowError:
    """Return the error for whoever waits for a commit that failed: it may have been done."""
    if not is_lost(error):
        return explained(error)
    return Unavailable(
        "the database did not say whether it was written",
        details=explained(error).details,
        fix="see that the database can be reached; look whether it was done before you try again",
        code="store-unavailable",
    )


def is_lost(error: Exception) -> bool:
    """Return whether the database, or the line to it, went away in the middle."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, TimeoutError)


def is_away(error: Exception) -> bool:
    """Return whether no work is to blame: the database is lost, or there is no line to it."""
    return is_lost(error) or (isinstance(error, DBAPIError) and error.statement is None)


def _said(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(cause).__name__}: {cause}".strip()

"""The collector's own failures.

CollectorError
├── DecodeError (ValueError)         the body is not what its content type says
├── TooManyEventsError (ValueError)  the batch is larger than allowed
└── SpoolError                       the spool cannot be used
    ├── SpoolFullError               the spool is at its size limit, or the disk is full; passes when the writer
    │                                catches up
    ├── SpoolBrokenError (OSError)   the disk failed; the batch is not stored, later batches may be stored
    ├── SpoolLockedError             another process owns the directory
    └── SpoolVersionError            a newer version of apimetry wrote the spool
"""

from __future__ import annotations


class CollectorError(Exception):
    """Base of the errors that this component raises."""


class DecodeError(CollectorError, ValueError):
    """The body cannot be decoded; the message says why."""


class TooManyEventsError(CollectorError, ValueError):
    """The batch holds more events than `max_batch_events`."""


class SpoolError(CollectorError):
    """The spool cannot be used."""


class SpoolFullError(SpoolError):
    """The spool or the disk has no room; this passes when the writer catches up."""


class SpoolBrokenError(SpoolError, OSError):
    """The disk refused a write or an fsync; the batch is not stored."""


class SpoolLockedError(SpoolError):
    """Another process owns the spool."""


class SpoolVersionError(SpoolError):
    """A newer version wrote the spool. This version leaves the spool untouched."""

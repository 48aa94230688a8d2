"""The collector's own failures.

CollectorError
├── DecodeError (ValueError)         the body is not what its content type says
├── TooManyEventsError (ValueError)  the batch is larger than allowed
└── SpoolError                       the spool cannot be used
    ├── SpoolFullError               its size limit, or the disk's end; passes when the writer catches up
    ├── SpoolBrokenError (OSError)   the disk failed; the batch is not stored, later ones may be
    ├── SpoolLockedError             another process owns the directory
    └── SpoolVersionError            a newer apimetry wrote it
"""


class CollectorError(Exception):
    """Base of what this component raises."""


class DecodeError(CollectorError, ValueError):
    """The body cannot be read; the message says where the parse stopped."""


class TooManyEventsError(CollectorError, ValueError):
    """The batch holds more events than `max_batch_events`."""


class SpoolError(CollectorError):
    """The spool cannot be used."""


class SpoolFullError(SpoolError):
    """No room: the spool's size limit or the disk's; passes by itself."""


class SpoolBrokenError(SpoolError, OSError):
    """The disk refused a write or an fsync; the batch is not stored."""


class SpoolLockedError(SpoolError):
    """Another process owns the spool."""


class SpoolVersionError(SpoolError):
    """The spool was written by a newer version, which is left untouched."""

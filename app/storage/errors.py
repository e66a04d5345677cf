"""What can go wrong with a store, in sentences that say what to do."""


class StoreError(RuntimeError):
    """The store cannot be used; the message says why and what to do. Nothing was half written."""


class NoWorkspaceError(StoreError):
    """The folder holds no workspace."""


class NewerSchemaError(StoreError):
    """A later version of the program wrote the store."""


class StoreBusyError(StoreError):
    """Another process holds the write lock for too long."""


class StoreUnreachableError(StoreError):
    """The database server does not answer, or the connection to it was cut."""


class DiskFullError(StoreError):
    """The disk has no room; the transaction was rolled back."""


class DamagedStoreError(StoreError):
    """The file is not a SQLite database, or its pages contradict each other."""

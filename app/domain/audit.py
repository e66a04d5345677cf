"""What the audit log writes down: everything that changes who may do what, which model proposes, or where labels go."""

from enum import StrEnum


class AuditAction(StrEnum):
    """One word per kind of entry."""

    SIGN_IN = "sign_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_OUT = "sign_out"
    SESSION_ENDED = "session_ended"
    """Somebody ended a session: the person from another device, or a lead."""

    ACCOUNT_CREATED = "account_created"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_ENABLED = "account_enabled"
    ROLE_CHANGED = "role_changed"
    PASSWORD_CHANGED = "password_changed"
    INVITATION_MADE = "invitation_made"
    """A link with which a person chooses a password, once: for a new account or after a reset."""
    INVITATION_TAKEN = "invitation_taken"
    ADMIN_TOKEN_MADE = "admin_token_made"
    """With it the first lead's account is made."""
    TOKEN_MADE = "token_made"
    TOKEN_REVOKED = "token_revoked"

    TAKEOVER = "takeover"
    """Somebody went on with an image that another person or tab held."""

    ASSIGNED = "assigned"
    """Images were given to somebody, or back to everybody."""
    IMPORT = "import"
    JOB_STARTED = "job_started"
    JOB_CANCELLED = "job_cancelled"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    EXPORT = "export"
    DOWNLOAD = "download"
    EXPLORE = "explore"
    SETTINGS_CHANGED = "settings_changed"
    DELETED = "deleted"
    PURGED = "purged"
    """The files of something that was deleted are gone for good."""
    RESTORED = "restored"
    """Something that was deleted is back."""
    BACKUP = "backup"
    BACKUP_RESTORED = "backup_restored"

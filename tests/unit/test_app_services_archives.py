"""A backup comes from outside: a damaged or hostile one is refused with a sentence before anything is written."""

import io
import json
import stat
import zipfile

import pytest

from app.config import Workspace
from app.domain.archive_paths import unsafe_because
from app.domain.roles import Actor, Role
from app.services import archives
from app.services.archives import BadArchiveError
from app.services.backup_restoring import check_backup, restore_backup
from app.services.backups import write_backup
from app.services.processes import Monitor
from app.storage.errors import DamagedStoreError, NewerSchemaError
from tests.unit.made_workspace import make_reviewable

LEE = Actor("lee", Role.LEAD)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The bytes of a good backup."""
    root = tmp_path_factory.mktemp("saved")
    write_backup(make_reviewable(root), root / "saved.zip", LEE, Monitor())
    return (root / "saved.zip").read_bytes()


def parts_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def packed(parts, compression=zipfile.ZIP_DEFLATED):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return written.getvalue()


def with_manifest(saved, **changes):
    parts = parts_of(saved)
    manifest = json.loads(parts["manifest.json"])
    parts["manifest.json"] = json.dumps({**manifest, **changes}).encode()
    return parts


def refuse(tmp_path, content, sentence, error=BadArchiveError):
    """Restoring is refused, and nothing is left anywhere."""
    path = tmp_path / "hostile.zip"
    path.write_bytes(content)
    with pytest.raises(error, match=sentence):
        restore_backup(path, Workspace(tmp_path / "inside" / "new"), None, LEE, Monitor())
    left = [found for found in tmp_path.rglob("*") if found != path and found.name != "inside"]
    assert left == []


def test_a_good_backup_is_whole(tmp_path, saved):
    (tmp_path / "good.zip").write_bytes(packed(parts_of(saved)))
    assert check_backup(tmp_path / "good.zip", Monitor()).files > 0


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + b"\0" * 100], ids=["empty", "text", "stub"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    refuse(tmp_path, content, "is no backup, or was cut off")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_an_archive_that_was_cut_off_is_refused(tmp_path, saved, share):
    refuse(tmp_path, saved[: int(share * len(saved))], "is no backup, or was cut off")


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path, saved):
    """Whatever byte is damaged: a sentence, or exactly the content that was saved."""
    path = tmp_path / "damaged.zip"
    path.write_bytes(saved)
    whole = check_backup(path, Monitor())
    refused = 0
    for position in range(0, len(saved), max(1, len(saved) // 150)):
        damaged = bytearray(saved)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        try:
            assert check_backup(path, Monitor()) == whole
        except (BadArchiveError, NewerSchemaError):
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "name",
    ["../evil", "files/../../evil", "/etc/evil", "files//evil", "files/a\\..\\evil", "C:evil", "files/\x00evil",
     "files/evil/", "files/" + "x" * 300, "files/./evil"],
    ids=range(10),
)  # fmt: skip
def test_a_name_that_leaves_its_folder_is_refused(tmp_path, saved, name):
    parts = with_manifest(saved)
    refuse(tmp_path, packed({**parts, name: b"evil"}), "nothing was written|is not in the manifest")


@pytest.mark.parametrize(
    "name", ["pixelsieve.db", "database.json", "../evil", "exports/x", "snapshots/x", ".hidden", "images/.x"]
)
def test_a_manifest_cannot_name_what_is_no_file_of_a_workspace(tmp_path, saved, name):
    parts = parts_of(saved)
    manifest = json.loads(parts["manifest.json"])
    manifest["files"][name] = {"size": 4, "sha256": "0" * 64}
    parts |= {"manifest.json": json.dumps(manifest).encode(), f"files/{name}": b"evil"}
    refuse(tmp_path, packed(parts), "is no file of a workspace|leaves its folder")


def test_a_link_is_refused(tmp_path, saved):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in parts_of(saved).items():
            info = zipfile.ZipInfo(name)
            if name.startswith("files/images/"):
                info.create_system, info.external_attr, content = 3, (stat.S_IFLNK | 0o777) << 16, b"/etc/passwd"
            archive.writestr(info, content)
    refuse(tmp_path, written.getvalue(), "is a link")


def test_two_entries_with_one_name_are_refused(tmp_path, saved):
    written = io.BytesIO(saved)
    with zipfile.ZipFile(written, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("manifest.json", b"{}")
    refuse(tmp_path, written.getvalue(), "two entries with the same name")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, saved):
    parts = parts_of(saved)
    manifest = json.loads(parts["manifest.json"])
    manifest["files"]["images/bomb.png"] = {"size": 2**28, "sha256": "0" * 64}
    parts |= {"manifest.json": json.dumps(manifest).encode(), "files/images/bomb.png": bytes(2**28)}
    refuse(tmp_path, packed(parts), "times its size, which no backup does")


def test_too_many_entries_are_refused(tmp_path, saved, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ENTRIES", 10)
    refuse(tmp_path, saved, "more than any workspace has")


def test_a_row_without_end_is_refused(tmp_path, saved, monkeypatch):
    monkeypatch.setattr(archives, "MAX_LINE_BYTES", 100)
    refuse(tmp_path, saved, "too long to be one")


def test_a_file_that_is_missing_is_named(tmp_path, saved):
    parts = parts_of(saved)
    name = next(name for name in parts if name.startswith("files/labels/"))
    del parts[name]
    refuse(tmp_path, packed(parts), f"{name} is missing")


def test_a_file_that_the_manifest_does_not_know_is_named(tmp_path, saved):
    refuse(tmp_path, packed({**parts_of(saved), "files/images/extra.png": b"x"}), "extra.png is not in the manifest")


def test_a_file_with_another_hash_is_named(tmp_path, saved):
    parts = parts_of(saved)
    name = next(name for name in parts if name.startswith("files/labels/"))
    parts[name] = bytes(len(parts[name]))
    refuse(tmp_path, packed(parts), f"{name.removeprefix('files/')} is not what was saved")


def test_rows_with_another_hash_are_named(tmp_path, saved):
    parts = parts_of(saved)
    parts["rows/image.jsonl"] = parts["rows/image.jsonl"].replace(b"pool_0", b"pool_9")
    refuse(tmp_path, packed(parts), "table image is not what was saved")


def rewritten(saved, table, change):
    """A backup whose maker changed rows and hashed them anew."""
    parts = with_manifest(saved)
    lines = [change(json.loads(line)) for line in parts[f"rows/{table}.jsonl"].splitlines()]
    parts[f"rows/{table}.jsonl"] = b"".join(
        json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n" for line in lines
    )
    manifest = json.loads(parts["manifest.json"])
    manifest["tables"][table]["sha256"] = archives.hashlib.sha256(parts[f"rows/{table}.jsonl"]).hexdigest()
    return packed({**parts, "manifest.json": json.dumps(manifest).encode()})


def test_rows_with_columns_of_another_program_are_refused(tmp_path, saved):
    refuse(tmp_path, rewritten(saved, "image", lambda row: {**row, "evil": 1}), "rows of table image cannot be read")


def test_rows_that_break_the_rules_of_their_table_are_refused(tmp_path, saved):
    refuse(
        tmp_path,
        rewritten(saved, "image", lambda row: {**row, "state": "evil"}),
        "rows of table image cannot be stored",
    )


def test_rows_that_refer_to_nothing_are_refused(tmp_path, saved):
    refuse(
        tmp_path,
        rewritten(saved, "region", lambda row: {**row, "image_id": 99}),
        "refers to a row of image",
        DamagedStoreError,
    )


def test_a_table_of_another_program_is_refused(tmp_path, saved):
    parts = parts_of(saved)
    manifest = json.loads(parts["manifest.json"])
    manifest["tables"]["evil"] = {"rows": 0, "sha256": archives.hashlib.sha256().hexdigest()}
    parts |= {"manifest.json": json.dumps(manifest).encode(), "rows/evil.jsonl": b""}
    refuse(tmp_path, packed(parts), "table evil does not belong to its schema version")


@pytest.mark.parametrize(
    ("changes", "sentence", "error"),
    [
        ({"version": 2}, "version: .* Use the version that wrote it", BadArchiveError),
        ({"format": "other"}, "format", BadArchiveError),
        ({"schema_version": "9999"}, "schema 9999, which this version of Pixelsieve does not know", NewerSchemaError),
        ({"schema_version": "../../x"}, "schema_version", BadArchiveError),
        ({"files": {"images/x.png": {"size": -1, "sha256": "0" * 64}}}, "greater than or equal to 0", BadArchiveError),
        ({"workspace_id": "'; DROP TABLE image; --"}, "workspace_id", BadArchiveError),
    ],
    ids=["version", "format", "schema", "schema path", "size", "id"],
)
def test_a_manifest_that_this_version_cannot_read_is_refused(tmp_path, saved, changes, sentence, error):
    refuse(tmp_path, packed(with_manifest(saved, **changes)), sentence, error)


def test_a_manifest_that_is_missing_or_huge_is_refused(tmp_path, saved, monkeypatch):
    parts = parts_of(saved)
    refuse(
        tmp_path, packed({name: content for name, content in parts.items() if name != "manifest.json"}), "is no backup"
    )
    monkeypatch.setattr(archives, "MAX_MANIFEST_BYTES", 100)
    refuse(tmp_path, saved, "has a manifest of")


def test_a_missing_file_keeps_its_own_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zip"):
        check_backup(tmp_path / "nowhere.zip", Monitor())


@pytest.mark.parametrize(
    ("name", "is_safe"),
    [("images/ab/cd.png", True), ("日本語/ü.png", True), ("a", True), ("..", False), ("a/..", False), ("a/../b", False),
     ("...", True), ("a\nb", False), ("", False), ("x" * 256, False), ("\udcff", False), ("a" * 1025, False)],
)  # fmt: skip
def test_only_plain_relative_names_are_safe(name, is_safe):
    assert (unsafe_because(name) is None) == is_safe

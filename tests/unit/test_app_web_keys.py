"""Class keys: fixed, unique, and never a command."""

from app.web.keys import COMMAND_LETTERS, class_keys


def test_first_nine_classes_have_digits_and_the_next_free_letters() -> None:
    assert class_keys(12) == (*"123456789", "A", "C", "I")


def test_no_class_key_is_a_command() -> None:
    assert not set(COMMAND_LETTERS) & set(class_keys(254))


def test_keys_are_unique_and_run_out_only_after_all_letters() -> None:
    keys = [key for key in class_keys(254) if key is not None]
    assert len(keys) == len(set(keys)) == 9 + 2 * (26 - len(COMMAND_LETTERS))


def test_a_class_keeps_its_key_when_classes_are_added() -> None:
    assert class_keys(30)[:10] == class_keys(10)

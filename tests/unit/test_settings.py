"""Settings: what is refused and how it is said; the table in the docs is the settings themselves."""

import pytest

from creditstream.config.load import load_settings
from creditstream.config.secret import Secret
from creditstream.config.settings import Settings
from creditstream.errors import StartError
from scripts.settings_table import PAGE, with_table


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("COLOUR", "blue", "unknown setting CREDITSTREAM_COLOUR"),
        ("WEB_PORT", "x", "CREDITSTREAM_WEB_PORT"),
        ("WEB_PORT", "0", "CREDITSTREAM_WEB_PORT"),
        ("RISK_DEADLINE", "nan", "CREDITSTREAM_RISK_DEADLINE"),
        ("RISK_DEADLINE", "inf", "CREDITSTREAM_RISK_DEADLINE"),
        ("RISK_DEADLINE", "1", "CREDITSTREAM_RISK_ATTEMPT_TIMEOUT"),
        ("RISK_URL", "ftp://x", "CREDITSTREAM_RISK_URL"),
        ("TOPIC_PREFIX", "a b", "CREDITSTREAM_TOPIC_PREFIX"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT", "CREDITSTREAM_KAFKA_SECURITY_PROTOCOL"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "CREDITSTREAM_KAFKA_SASL_USERNAME"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line_that_names_it(name: str, value: str, said: str) -> None:
    with pytest.raises(StartError) as error:
        load_settings({f"CREDITSTREAM_{name}": value})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_values_come_from_the_environment_and_nothing_else() -> None:
    settings = load_settings({"CREDITSTREAM_PARTITIONS": "12", "PARTITIONS": "3", "CREDITSTREAM_GROUP": "g"})
    assert (settings.partitions, settings.group) == (12, "g")
    assert load_settings({}) == Settings()


def test_secrets_do_not_show() -> None:
    settings = load_settings({"CREDITSTREAM_POSTGRES_DSN": "postgresql://u:hunter2@127.0.0.1/d"})
    assert settings.postgres_dsn.reveal() == "postgresql://u:hunter2@127.0.0.1/d"
    assert "hunter2" not in f"{settings!r} {settings.postgres_dsn} {settings.postgres_dsn!r}"
    assert not Secret()


def test_the_page_has_the_current_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text) == text, "run: .venv/bin/python scripts/settings_table.py"

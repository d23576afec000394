"""Settings: where they come from, and what a wrong one is answered with."""

import traceback
from pathlib import Path

import pytest
import yaml

from broker.errors import SettingsError
from broker.settings.settings import every, load, unknown_variables
from broker.transports.embedded import EmbeddedLog
from broker.transports.urls import open_log

ROOT = Path(__file__).resolve().parents[2]


def test_data_are_kept_where_a_users_programs_keep_theirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    assert load().storage.data == tmp_path / "qjb"


def test_the_log_and_the_payloads_are_in_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = load({"data": tmp_path / "a folder?"})

    assert settings.storage.is_embedded
    assert isinstance(open_log(settings.storage.log), EmbeddedLog)
    assert settings.storage.log == f"sqlite:///{tmp_path}/a%20folder%3F/log.db"
    assert settings.storage.blobs == f"{tmp_path}/a folder?/blobs"


def test_an_option_is_stronger_than_a_variable_and_a_variable_than_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QJB_PORT", "1111")
    monkeypatch.setenv("QJB_LOG", "kafka://somewhere:9092")

    settings = load({"port": 2222, "log": None})

    assert (settings.gateway.port, settings.storage.log, settings.gateway.host) == (
        2222,
        "kafka://somewhere:9092",
        "127.0.0.1",
    )
    assert not settings.storage.is_embedded


def test_an_empty_variable_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QJB_HEALTH_FILE", "")

    assert load().telemetry.health_file is None


def test_origins_stand_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QJB_CORS_ORIGINS", "https://a.example, https://b.example")

    assert load().gateway.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("QJB_PORT", "70000", "QJB_PORT: '70000' should be less than or equal to 65535"),
        ("QJB_SLOTS", "0", "QJB_SLOTS: '0' should be greater than or equal to 1"),
        ("QJB_EXECUTOR", "abacus", "QJB_EXECUTOR: 'abacus' should be 'simulator' or 'scripted'"),
        ("QJB_WORKER_ID", "a/b", "QJB_WORKER_ID"),
        ("QJB_KEEP_JOBS", "a week", "QJB_KEEP_JOBS: 'a week' must be a length of time such as 90d"),
        ("QJB_OIDC_ISSUER", "https://issuer", "QJB_OIDC_ISSUER: QJB_OIDC_AUDIENCE is missing"),
        ("QJB_OIDC_CLIENT_ID", "qjb", "QJB_OIDC_CLIENT_ID: QJB_OIDC_ISSUER is missing"),
        ("QJB_OIDC_LOGIN_SCOPES", "email", "QJB_OIDC_LOGIN_SCOPES: 'email' should match"),
        ("QJB_KEEP_EVENTS", "0", "QJB_KEEP_EVENTS: '0' must be a length of time such as 90d"),
    ],
)
def test_a_wrong_setting_is_one_plain_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        load()

    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_all_that_is_wrong_is_named_at_once_whatever_it_is_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QJB_SLOTS", "0")

    with pytest.raises(SettingsError) as caught:
        load({"port": 70000, "colour": "red"})

    assert caught.value.message == (
        "QJB_COLOUR: there is no such setting"
        "; QJB_PORT: 70000 should be less than or equal to 65535"
        "; QJB_SLOTS: '0' should be greater than or equal to 1"
    )


@pytest.mark.parametrize(
    ("log", "given", "kept"),
    [
        ("", "", None),
        ("memory://", "", None),
        ("kafka://host", "", 90 * 86_400),
        ("kafka://host", "forever", None),
        ("", "12h", 43_200),
    ],
)
def test_jobs_are_kept_for_ever_in_the_embedded_log_and_90_days_on_kafka(
    log: str, given: str, kept: float | None
) -> None:
    settings = load({"log": log, "keep_jobs": given})

    assert settings.storage.kept_jobs == kept
    assert settings.storage.kept_events == 7 * 86_400


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QJB_SLOT", "3")
    monkeypatch.setenv("QJB_URL", "http://somewhere")

    assert unknown_variables() == ["QJB_SLOT"]


@pytest.mark.parametrize("field", ["log", "blobs", "oidc_client_secret"])
@pytest.mark.parametrize(
    "url", ["kafka://me:secret@host", b"kafka://me:secret@\xff", 7, "\ud800secret"]
)
def test_a_password_is_in_no_error_and_no_representation(field: str, url: object) -> None:
    try:
        said = repr(load({field: url}))
    except SettingsError as error:
        said = "".join(traceback.format_exception(error))

    for named in ('"\\ud800secret"', "client_secret", "QJB_OIDC_CLIENT_SECRET"):
        said = said.replace(named, "")
    assert "secret" not in said


def test_every_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in every().values())


def test_the_compose_file_sets_what_can_be_set() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    variables = {
        name for service in services.values() for name in service["environment"] if "QJB" in name
    }

    assert {"QJB_LOG", "QJB_BLOBS"} <= variables
    assert variables <= every().keys()

import pytest

from nnunet_assets.tracking.redaction import is_secret_name, masked, redacted, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hunter2@host:5000/x", "https://***@host:5000/x"),
        ("https://me:hun@ter2@host/x", "https://***@host/x"),
        ("failed: http://token@a and http://b:c@d", "failed: http://***@a and http://***@d"),
        ("postgresql://host/db?user=me&password=hunter2", "postgresql://host/db?user=me&password=***"),
        ("http://host/path@2", "http://host/path@2"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_the_users_part_of_a_url_is_masked(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize("name", ["password", "DB_PASSWORD", "api_key", "hf.token", "aws-secret"])
def test_names_whose_last_word_is_a_secret_are_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["num_tokens", "tokenizer", "bypass", "key", "passwords_seen"])
def test_other_names_are_not(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_are_masked_at_any_depth_and_numbers_stay() -> None:
    nested = {"a": [{"token": "abc", "n": 3}], "uri": "http://me:pw@host", "lr": 0.01, "token": 7}
    assert masked(nested) == {"a": [{"token": "***", "n": 3}], "uri": "http://***@host", "lr": 0.01, "token": 7}


def test_a_child_gets_the_environment_without_its_secrets() -> None:
    needed = {
        "PATH": "/bin",
        "nnUNet_raw": "/data@site/raw",
        "MLFLOW_TRACKING_USERNAME": "me",
        "TOKENIZERS_PARALLELISM": "false",
        "DAGSTER_PIPES_CONTEXT": "eJyrVkrKz1eyUlBKSixSqgUAKLgFPg==",
        "WANDB_API_KEY": "abc",
    }
    secret = {
        "MLFLOW_TRACKING_URI": "https://me:hunter2@host",
        "MLFLOW_TRACKING_PASSWORD": "hunter2",
        "PGPASSWORD": "hunter2",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AZURE_STORAGE_CONNECTION_STRING": "AccountKey=hunter2",
        "HF_TOKEN": "hunter2",
        "storage_key": "hunter2",
    }
    assert without_secrets({**needed, **secret}) == needed

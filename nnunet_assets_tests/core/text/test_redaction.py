import pytest

from nnunet_assets.core.text.redaction import MASK, is_secret_name, masked, redacted


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


GITHUB, JWT = "ghp_" + "a1B2" * 9, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://host/x?access_token=hunter2&page=1", "hunter2"),
        ("https://a.blob.core.windows.net/c?sv=2024&sp=r&sig=hunter%2B2%3D", "hunter%2B2%3D"),
        ("https://host/?X-Amz-Credential=hunter2&X-Amz-Signature=deadbeef", "hunter2"),
        ("https://host/?X-Amz-Signature=deadbeef", "deadbeef"),
        ("https://host/cb#access_token=hunter2", "hunter2"),
        ("https://maps/api?key=hunter2", "hunter2"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG".replace(" ", ""), "wJalrXUtnFEMI/K7MDENG"),
        ("AKIAIOSFODNN7EXAMPLE is not allowed", "AKIAIOSFODNN7EXAMPLE"),
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("authorization: Basic bWU6aHVudGVyMg==", "bWU6aHVudGVyMg=="),
        ("header Bearer abcdefgh12345678 refused", "abcdefgh12345678"),
        (f"remote: {GITHUB}", GITHUB),
        ("using github_pat_11ABCDEFG0123456789_abcdef", "github_pat_11ABCDEFG0123456789_abcdef"),
        ("glpat-abcdefghij0123456789", "glpat-abcdefghij0123456789"),
        ("hf_" + "abcdefghij" * 3, "hf_" + "abcdefghij" * 3),
        ("xoxb-123456789012-abcdef", "xoxb-123456789012-abcdef"),
        (f"cookie {JWT};", JWT),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=aHVudGVyMg==;", "aHVudGVyMg=="),
        ("MYSQL_PWD=hunter2", "hunter2"),
        ('{"password": "hunter2"}', "hunter2"),
        ("GITHUB_PAT=hunter2", "hunter2"),
        ("postgresql+psycopg2://me:hunter2@host/db", "hunter2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----", "hunter2"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2 and the rest was cut", "hunter2"),
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redacted(text)
    assert MASK in redacted(text)
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "Epoch 3 of 1000: pseudo Dice 0.812, learning rate 0.01",
        "num_tokens=512, tokenizer: fast",
        "the compass=north, a password is asked for, no token: see above",
        "https://host/path?page=2&keys=a&passage=b",
        "case_001_0000.nii.gz sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "dataset.json: labels {'background': 0, 'organ': 1}",
        "KeyError: 'key'",
        "sqlite:////data/mlflow.db",
        "pattern=^(?P<group>\\w+)_",
    ],
)
def test_what_people_need_to_read_stays(text: str) -> None:
    assert redacted(text) == text

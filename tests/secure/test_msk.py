"""AWS's real signer with credentials that are made up: a token is made on this machine, nobody is asked."""

import asyncio
import base64
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
from aiokafka.errors import AuthenticationFailedError

from creditstream.errors import StartError
from creditstream.kafka.security import MskTokens


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own: no files, no metadata service."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_a_token_is_a_signed_address_of_the_region_and_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMADEUP")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    tokens = MskTokens("sa-east-1")
    token = asyncio.run(tokens.token())
    address = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    query = parse_qs(address.query)
    assert address.hostname == "kafka.sa-east-1.amazonaws.com"
    assert query["Action"] == ["kafka-cluster:Connect"] and query["X-Amz-Signature"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    assert asyncio.run(tokens.token()) == token
    tokens._until = 0.0
    assert asyncio.run(tokens.token()) != token, "the old one has ended"


def test_without_credentials_it_says_so() -> None:
    with pytest.raises(AuthenticationFailedError, match="AWS gives no credentials"):
        asyncio.run(MskTokens("sa-east-1").token())


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(StartError, match=r"creditstream\[msk\]"):
        MskTokens("sa-east-1")

"""URLs of buckets, and messages without secrets. tests/contract/test_object_storage.py asks a real server."""

import pytest

from tests.ports import free_port
from tests.scripted_bucket import CONTENT, bucket_that_answers
from training.errors import InputError
from training.object_storage import Bucket, StorageError, is_url


def test_a_url_of_a_bucket_opens_it_without_a_connection() -> None:
    assert is_url("s3://bucket/prefix/")
    assert not is_url("models")
    assert Bucket("s3://bucket/prefix/").url == "s3://bucket/prefix"


@pytest.mark.parametrize("url", ["https://host/a", "s3://", "s3://bucket/../a", "s3://bucket//a", "s3://" + "a" * 64])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="must be a folder or a URL like s3://bucket/prefix, gs:// or az://"):
        Bucket(url)


def test_a_refusal_quotes_no_secret() -> None:
    with pytest.raises(InputError) as refusal:
        Bucket("s3://key:secret@bucket/a?token=secret")
    assert "secret" not in str(refusal.value)


def test_a_server_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.object_storage.MAX_RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(
        StorageError, match=r"^s3://bucket cannot be used: it does not answer; the variables for its address and keys"
    ):
        Bucket("s3://bucket").listing("versions")


def test_a_redirect_of_the_bucket_names_the_variable_of_the_region() -> None:
    with bucket_that_answers(301), pytest.raises(StorageError, match=r"it is in another region; .*, AWS_REGION and"):
        Bucket("s3://bucket").listing("versions")


def test_a_run_that_reads_ranges_outlasts_an_outage_that_ends_a_command() -> None:
    with bucket_that_answers(503) as requested, pytest.raises(StorageError, match="it answers with status 503"):
        Bucket("s3://bucket").listing("parts")
    failures = len(requested) + 1
    with bucket_that_answers(*[503] * failures, 206):
        assert Bucket("s3://bucket").read_range("parts/0.ids", 0, len(CONTENT)) == CONTENT


def test_without_the_variables_of_its_provider_a_bucket_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StorageError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        Bucket("az://container/prefix")

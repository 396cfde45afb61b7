"""URLs of buckets, and messages without secrets. tests/contract/test_object_storage.py asks a real server."""

import sys

import pytest

from service.object_storage import Bucket, BucketError, StorageError, is_url
from tests.ports import free_port
from tests.scripted_bucket import bucket_that_answers


@pytest.mark.parametrize("url", ["s3://bucket", "s3://my-bucket/", "s3://bucket/pre/fix_1.0", "gs://bucket/a=b"])
def test_a_url_of_a_bucket_opens_it_without_a_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_url(url)
    assert Bucket(url).url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *("", "models", "S3://bucket", "file:///bucket", "https://host/bucket", "s3://", "s3://a", "s3:///prefix"),
        *("s3://bucket/../a", "s3://bucket/.a", "s3://bucket//a", "s3://bucket?a=b", "s3://bucket\n", "s3://bu cket"),
        "s3://" + "a" * 64,
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(
        BucketError, match=r"^must be a folder or a URL like 's3://bucket/prefix', gs:// or az://, not "
    ):
        Bucket(url)


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/a", "s3://bucket/a?token=secret"])
def test_a_refusal_quotes_no_secret(url: str) -> None:
    with pytest.raises(BucketError) as refusal:
        Bucket(url)
    assert "secret" not in str(refusal.value)


def test_without_the_package_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(BucketError, match="needs the Python package obstore: pip install -r requirements-objectstore"):
        Bucket("s3://bucket")


def test_a_missing_variable_of_the_provider_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(BucketError, match=r"needs the environment variables of az://"):
        Bucket("az://container/prefix")


def test_a_server_that_does_not_answer_is_an_error_without_the_storage_s_own_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(StorageError) as failure:
        Bucket("s3://bucket/prefix").listing("versions")
    assert str(failure.value) == "s3://bucket/prefix cannot be read: it does not answer"
    assert failure.value.__suppress_context__


def test_a_redirect_of_the_bucket_names_the_variable_of_the_region() -> None:
    with (
        bucket_that_answers(301),
        pytest.raises(StorageError, match="in another region than that of the variable AWS_"),
    ):
        Bucket("s3://bucket").listing("versions")

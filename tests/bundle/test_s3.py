"""A bucket of an S3-like server as the source of bundles, with signed URLs and ETags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from camguard.bundle.archive import write_archive
from camguard.bundle.fetch import fetch
from tests.bundle.archives import FILES
from tests.bundle.test_remote import DENIES, Stage, Web
from tests.bundle.test_store import CATALOG, Clock, write

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of botocore and moto
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_a_bucket_with_a_signed_url_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3: Any = pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        bucket = boto3.client("s3", region_name="us-east-1", endpoint_url=f"http://{host}:{port}")
        bucket.create_bucket(Bucket="bundles")
        place = {"Bucket": "bundles", "Key": "b.tar.gz"}
        bucket.put_object(**place, Body=write_archive(FILES, 1))
        url = bucket.generate_presigned_url("get_object", Params=place, ExpiresIn=600)
        assert "Signature" in url
        write(tmp_path, "catalog/aiart.json", CATALOG)
        stage = Stage(tmp_path, Web(), Clock(), fetcher=lambda _, etag: fetch(url, etag))
        assert [stage.poll(), stage.poll()] == ["success: allow", "unchanged: allow"]
        assert stage.facts.fetches["not_modified"] == 1
        bucket.put_object(**place, Body=write_archive(DENIES, 2))
        assert stage.poll() == "success: deny"
        bucket.delete_object(**place)
        assert stage.poll() == "failure: deny"
        assert "answers 404" in stage.problems
        assert "Signature" not in stage.problems
    finally:
        running.stop()

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rayml.data.sources.archive import Archive
from rayml.errors import SourceError

CONTENT = b"1,2\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    body = b""
    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200 if self.server.body else 404)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"inner/{name}", content)
    return stream.getvalue()


def archive(server: Server) -> Archive:
    return Archive(f"http://127.0.0.1:{server.server_port}/x.zip", {"t.csv": DIGEST}, {})


def test_absent_files_are_downloaded_once(server: Server, tmp_path: Path) -> None:
    server.body = zipped(**{"t.csv": CONTENT, "more.txt": b"x"})
    folder = tmp_path / "new"
    for _ in range(2):
        assert archive(server).files(folder, download=True) == {"t.csv": (folder / "t.csv", DIGEST)}
    assert (folder / "t.csv").read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["t.csv"]
    assert server.asked == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "404"),
        (b"no zip", "not a zip file"),
        (zipped(**{"other.csv": CONTENT}), "the archive lacks 't.csv'"),
        (zipped(**{"t.csv": b"altered"}), "differs from the published file"),
    ],
)
def test_a_bad_download_leaves_nothing_and_names_url_or_place(
    server: Server, tmp_path: Path, body: bytes, message: str
) -> None:
    server.body = body
    with pytest.raises(SourceError, match=message) as caught:
        archive(server).files(tmp_path, download=True)
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_network_the_error_names_url_and_place(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/x.zip"
    for download, reason in ((True, "refused"), (False, "download is off")):
        with pytest.raises(SourceError, match=reason) as caught:
            Archive(url, {"t.csv": DIGEST}, {}).files(tmp_path, download=download)
        assert url in str(caught.value)
        assert str(tmp_path) in str(caught.value)


def test_found_files_are_checked(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"older")
    other = hashlib.sha256(b"older").hexdigest()
    with pytest.raises(SourceError, match="differs from the published file"):
        Archive("http://x", {"t.csv": DIGEST}, {}).files(tmp_path, download=False)
    found = Archive("http://x", {"t.csv": DIGEST}, {"t.csv": other}).files(tmp_path, download=False)
    assert found["t.csv"][1] == other

"""Processes that stand for a driver and a caretaker under a real supervisor; no Ray.

python -m tests.serve.supervised_stub KIND FOLDER   a supervisor, whose drivers do as KIND says

Each driver appends a line to the file `starts`: its process, and the endpoint that it is told of.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rayml.processes import adopt_orphans
from rayml.serve.supervise.messages import Messages
from rayml.serve.supervise.restarts import Deaths
from rayml.serve.supervise.supervisor import CHANNEL, Supervisor

ENDPOINT = {"port": 1, "url": "http://127.0.0.1:1", "version": "3", "key": "secret"}
NAME = "tests.serve.supervised_stub"


def drive(kind: str, folder: Path) -> int:
    channel = Messages.inherited(int(os.environ.pop(CHANNEL)))
    remembered = channel.receive()
    assert remembered is not None
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "fails":
        return 2
    channel.send({"cluster": {}})
    told = channel.receive()
    assert told is not None
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    channel.send({"endpoint": ENDPOINT, "answers": True})
    with (folder / "starts").open("a") as file:
        file.write(f"{json.dumps([os.getpid(), remembered['endpoint'], told['holder']])}\n")
    while True:
        time.sleep(60)


def take_care(folder: Path) -> int:
    adopt_orphans()
    channel = Messages.inherited(int(os.environ.pop(CHANNEL)))
    # In a session of its own, and without its parent: what is hardest to find.
    code = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert channel.receive() == {"cluster": {}}
    channel.send({"holder": os.getpid()})
    while channel.receive() is not None:
        pass
    from rayml.processes import end_all_below

    end_all_below()
    (folder / "cared").touch()
    return 0


def main() -> int:
    kind, folder = sys.argv[1:]
    os.environ["STUB_FOLDER"] = folder
    driver = [NAME, f"driver-{kind}", folder]
    return Supervisor(driver, f"{NAME}_caretaker", pauses).run()


def pauses(deaths: Deaths) -> float | None:
    """Of no driver but the eighth that dies soon after its endpoint answered."""
    if deaths.failed_starts >= 4:
        return None
    return 3600.0 if deaths.quick >= 8 else 0.0


if __name__ == "__main__":
    if sys.argv[1].startswith("driver-"):
        sys.exit(drive(sys.argv[1].removeprefix("driver-"), Path(sys.argv[2])))
    sys.exit(main())

"""Run a command on a machine without a namespace to enter: `python agent.py FOLDER PID WORD…`.

The machine shares FOLDER with this one, and a service of the machine runs AGENT there. The command
gets the input of this program as a whole, and this program its output, errors and exit status. It
fails as soon as the process PID has ended, which is the machine. It needs no other module, because
each command starts it.
"""

import os
import sys
import time
from pathlib import Path

POLL_SECONDS = 0.02
# For bash on the machine, in the shared folder. It starts no process while there is no command.
AGENT = """\
cd /run/agent
shopt -s nullglob
mkfifo /run/agent.never
exec 9<>/run/agent.never
declare -A seen
answer() {
    mapfile -d '' -t words <"$1.request"
    "${words[@]}" <"$1.input" >"$1.output" 2>"$1.errors" 9>&-
    echo $? >"$1.status.new"
    mv "$1.status.new" "$1.status"
}
while true; do
    for request in *.request; do
        [[ -z ${seen[$request]:-} ]] || continue
        seen[$request]=yes
        answer "${request%.request}" &
    done
    read -r -t 0.05 -u 9
done
"""


def main() -> int:
    """Pass the command of the command line to the machine, and return its exit status."""
    folder, pid, *words = sys.argv[1:]
    path = Path(folder, f"{os.getpid()}-{time.monotonic_ns()}")
    path.with_suffix(".input").write_bytes(sys.stdin.buffer.read())
    path.with_suffix(".new").write_text("".join(f"{word}\0" for word in words))
    path.with_suffix(".new").rename(path.with_suffix(".request"))
    status = path.with_suffix(".status")
    while not status.exists():
        if not Path("/proc", pid).exists():
            print("The machine has ended.", file=sys.stderr)
            return 1
        time.sleep(POLL_SECONDS)
    for stream, suffix in ((sys.stdout, ".output"), (sys.stderr, ".errors")):
        stream.buffer.write(path.with_suffix(suffix).read_bytes())
    result = int(status.read_text())
    for file in path.parent.glob(f"{path.name}.*"):
        file.unlink()
    return result


if __name__ == "__main__":
    sys.exit(main())

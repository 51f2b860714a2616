"""Which folders mintdb uses: a cache that may outlive a reboot, and live state that belongs to this boot alone."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from mintdb.engines.errors import FolderUnusable
from mintdb.facts import dataclass

SHM = Path("/dev/shm")  # noqa: S108  # a tmpfs on every Linux; ours is a private folder below it
PASSWORD = "password"  # noqa: S105  # the file's name
ROOM_FOR_DATA = 1 << 30  # bytes: a cluster of 39 MB, its WAL (wal_keep_size 512 MB), a few dozen clones of 8 MB
CGROUP_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),  # cgroup 2, as a container sees itself
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),  # cgroup 1
)


@dataclass(frozen=True)
class Places:
    """`cache` keeps initdb's result; `live` holds sockets, locks and state of this host, boot and namespace."""

    cache: Path
    live: Path


def find_places() -> Places:
    """The folders, made and checked. Raises FolderUnusable where one cannot be written or belongs to somebody else."""
    cache = find_cache()
    _make_private(cache)
    live = _live_folder(cache) / boot_identity()
    _make_private(live.parent)
    _make_private(live)
    return Places(cache, live)


def data_parent(places: Places, *, room: int = ROOM_FOR_DATA) -> Path:
    """Where data goes: tmpfs where the file system *and* the cgroup have `room` bytes, else the cache's disk."""
    on_tmpfs = places.live.is_relative_to(SHM)
    return places.live if on_tmpfs and room_left(places.live) >= room else places.cache / "data"


def room_left(folder: Path) -> int:
    """Bytes that may still be written below `folder`; on tmpfs the cgroup's memory limit counts too."""
    usage = os.statvfs(folder)
    free = usage.f_bavail * usage.f_frsize
    return min([free, *_cgroup_rooms()]) if folder.is_relative_to(SHM) else free


def boot_identity() -> str:
    """A name for this host, boot and set of namespaces: state of another one is never taken for ours."""
    parts = [socket.gethostname(), _read("/proc/sys/kernel/random/boot_id") or "no boot id"]
    for namespace in ("pid", "net", "mnt"):
        try:
            parts.append(os.readlink(f"/proc/self/ns/{namespace}"))
        except OSError:
            parts.append(namespace)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def read_password(places: Places) -> str:
    """This user's server password, made once; only the user can read the files that hold it.

    It is kept beside the live servers, which know no other, whatever becomes of the cache; the cache's outlives a boot.
    Raises FolderUnusable for the cache, OSError for the live folder.
    """
    return _keep_once(places.live / PASSWORD, lambda: cached_password(places.cache))


def cached_password(cache: Path) -> str:
    """The password that outlives a boot. Raises FolderUnusable."""
    try:
        return _keep_once(cache / PASSWORD, lambda: secrets.token_urlsafe(18))
    except OSError as error:
        raise FolderUnusable(folder=cache, why=error.strerror) from None


def _keep_once(path: Path, make: Callable[[], str]) -> str:
    """What the file says; whoever finds none writes what `make` returns."""
    if path.exists():
        return _wait_for_content(path, make)
    made = make()
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return _wait_for_content(path, make)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
    except OSError:
        path.unlink()  # an empty one would be waited for
        raise
    return made


def _wait_for_content(path: Path, make: Callable[[], str]) -> str:
    # Another process may have created the file and not yet written it: an empty one is rewritten by nobody else.
    for _ in range(1000):
        if text := path.read_text():
            return text
        os.sched_yield() if hasattr(os, "sched_yield") else None
    path.unlink(missing_ok=True)  # its maker died between the two steps
    return _keep_once(path, make)


def make_passable(folder: Path) -> None:
    """Make a folder, and what is missing above it, through which a server's account can pass. Raises OSError.

    Only root runs a server as somebody else; then the umask has no say in it.
    """
    for part in (*(above for above in reversed(folder.parents) if not above.exists()), folder):
        is_new = not part.exists()
        part.mkdir(mode=0o711, exist_ok=True)
        if is_new and hasattr(os, "geteuid") and os.geteuid() == 0:
            part.chmod(0o711)


def find_cache() -> Path:
    """The folder for what outlives a boot, whether it is there or not."""
    if named := os.environ.get("MINTDB_CACHE_DIR"):
        return Path(named).expanduser().absolute()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Root's home is closed to the account that runs the server.
        return Path("/var/cache/mintdb")
    import platformdirs  # as long to import as anything here; neither root nor who names the folder needs it

    return Path(platformdirs.user_cache_dir("mintdb", appauthor=False))


def _live_folder(cache: Path) -> Path:
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    if os.environ.get("MINTDB_CACHE_DIR"):
        # Who moves the cache wants nothing elsewhere, but for the short path that a socket needs.
        suffix = hashlib.sha256(os.fsencode(cache)).hexdigest()[:6]
        return _short_parent() / f"mintdb-{user}-{suffix}"
    return _short_parent() / f"mintdb-{user}"


def _short_parent() -> Path:
    if sys.platform == "linux" and os.access(SHM, os.W_OK):
        return SHM
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())


def _make_private(folder: Path) -> None:
    """Make a folder that only we write to, and refuse one that is somebody else's (the name can be guessed)."""
    try:
        make_passable(folder)
        status = folder.lstat()
    except OSError as error:
        raise FolderUnusable(folder=folder, why=f"it cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise FolderUnusable(folder=folder, why="it is not a folder")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise FolderUnusable(folder=folder, why=f"it belongs to user {status.st_uid}")
    if not os.access(folder, os.W_OK | os.X_OK) or _is_read_only(folder):
        raise FolderUnusable(folder=folder, why="it cannot be written to")


def _is_read_only(folder: Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _cgroup_rooms() -> list[int]:
    rooms = []
    for limit_file, used_file in CGROUP_LIMITS:
        limit, used = _read(limit_file), _read(used_file)
        if limit and used and limit.isdigit() and used.isdigit():
            rooms.append(int(limit) - int(used))
    return rooms


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None

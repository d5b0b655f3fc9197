//! Directories of this process, gone when it is: on drop, or by a small shell when the process was killed, or at the next start.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::{fs::DirBuilderExt, fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    fs::{FlockOperation, flock},
    process::getuid,
};

/// Everything that this user's test processes keep.
static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let uid = getuid();
    let root = std::env::temp_dir().join(format!("slimy-rt-engines-{}", uid.as_raw()));
    make(&root);
    let owner = fs::symlink_metadata(&root).expect("was just made");
    assert!(
        owner.is_dir() && owner.uid() == uid.as_raw(),
        "{} belongs to another user: remove it, or set TMPDIR to a directory of your own",
        root.display()
    );
    root
});

static PROCESS: LazyLock<Process> = LazyLock::new(Process::start);

/// What this process keeps; held for its life.
struct Process {
    path: PathBuf,
    _held: File,
    /// Its input is open until this process ends.
    _remover: Child,
}

/// A directory that is removed with its content on drop.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

/// The root of all test processes of this user; it stays.
pub(crate) fn root() -> &'static Path {
    &ROOT
}

/// Takes an exclusive lock on a file under the root, which is made if need be: `None` when another process has it.
pub(crate) fn try_lock(path: &Path) -> Option<File> {
    let file = open(path);
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .is_ok()
        .then_some(file)
}

/// The same, and waits for it.
pub(crate) fn lock(path: &Path) -> File {
    let file = open(path);
    flock(&file, FlockOperation::LockExclusive)
        .unwrap_or_else(|error| panic!("cannot lock {}: {error}", path.display()));
    file
}

fn open(path: &Path) -> File {
    // Reading is enough for a lock.
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path);
    file.unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
}

/// Makes a directory which a server that runs as another user can enter.
fn make(path: &Path) {
    let made = DirBuilder::new().mode(0o755).create(path);
    if let Err(error) = made {
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        assert!(exists, "cannot make {}: {error}", path.display());
    }
}

impl Directory {
    pub(crate) fn new(kind: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = PROCESS.path.join(format!("{kind}-{number}"));
        make(&path);
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What could not be removed now is when the process ends.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Process {
    fn start() -> Self {
        // One at a time, so that nobody takes a directory without its lock for one that is left over.
        let sweep = lock(&ROOT.join("sweep.lock"));
        for entry in fs::read_dir(&*ROOT)
            .expect("the root exists")
            .filter_map(Result::ok)
        {
            let path = entry.path();
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("process-") && path.is_dir() {
                let lock_file = path.with_extension("lock");
                if try_lock(&lock_file).is_some() {
                    // What another test program is just removing is as good as removed.
                    let _ = fs::remove_dir_all(&path);
                    let _ = fs::remove_file(&lock_file);
                }
            }
        }
        let pid = std::process::id();
        let path = ROOT.join(format!("process-{pid}"));
        let lock_file = path.with_extension("lock");
        let held = lock(&lock_file);
        make(&path);
        let remover = remove_after_death(&path, &lock_file);
        drop(sweep);
        Self {
            path,
            _held: held,
            _remover: remover,
        }
    }
}

/// Statics are not dropped, and a killed process drops nothing. A shell in a process group of its own waits for the end of its input, which
/// this process holds open for as long as it lives. It also ends what still works there: the kernel ends a server, but not that server's stopped
/// children.
fn remove_after_death(path: &Path, lock_file: &Path) -> Child {
    Command::new("sh")
        .args([
            "-c",
            "while read -r nothing; do :; done
             for process in /proc/[0-9]*; do
               case $(readlink \"$process/cwd\" 2>/dev/null) in
                 \"$0\"/*) kill -KILL \"${process#/proc/}\" ;;
               esac
             done
             n=0
             until rm -rf -- \"$0\" 2>/dev/null || [ $n = 50 ]; do n=$((n + 1)); sleep 0.1; done
             rm -f -- \"$1\"",
        ])
        .args([path, lock_file])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_gone_with_its_content_on_drop() {
        let directory = Directory::new("test");
        let path = directory.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_is_held_once() {
        let path = PROCESS.path.join("once.lock");
        let held = lock(&path);
        assert!(try_lock(&path).is_none());
        drop(held);
        assert!(try_lock(&path).is_some());
    }
}

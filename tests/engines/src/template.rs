//! Where PostgreSQL's programs are, who may run them, and a cluster that `initdb` made once and every instance copies: `initdb` takes seconds.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::getuid;

use crate::{
    directory::{lock, root},
    process::as_user,
};

/// Where Debian keeps one directory for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Who runs the server when the tests run as root, which PostgreSQL refuses to.
const USER: &str = "postgres";

/// PostgreSQL as it is installed here.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    programs: PathBuf,
    /// When this process is root: the name, the user's and the group's number.
    user: Option<(&'static str, u32, u32)>,
}

impl Installed {
    pub(crate) fn find() -> Self {
        let programs = newest_of_debian()
            .or_else(|| {
                let asked = Command::new("pg_config").arg("--bindir").output().ok()?;
                let path = String::from_utf8(asked.stdout).ok()?;
                Some(PathBuf::from(path.trim()))
            })
            .filter(|programs| programs.join("initdb").is_file())
            .unwrap_or_else(|| {
                panic!("PostgreSQL is missing; install Debian's package postgresql")
            });
        let user = getuid().is_root().then(|| {
            let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let line = users.lines().find_map(|line| {
                let mut fields = line.split(':');
                let is_it = fields.next() == Some(USER);
                let mut numbers = fields.skip(1).map(str::parse);
                is_it.then(|| Some((numbers.next()?.ok()?, numbers.next()?.ok()?)))?
            });
            let (uid, gid) = line.unwrap_or_else(|| {
                panic!("PostgreSQL does not run as root, and there is no user {USER}: add it, or run the tests as another user")
            });
            (USER, uid, gid)
        });
        Self { programs, user }
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    pub(crate) fn user(&self) -> Option<&'static str> {
        self.user.map(|(name, ..)| name)
    }

    /// Gives a file to the user who runs the server.
    pub(crate) fn give(&self, path: &Path) {
        if let Some((_, uid, gid)) = self.user {
            chown(path, Some(uid), Some(gid))
                .unwrap_or_else(|error| panic!("cannot give {} away: {error}", path.display()));
        }
    }

    /// Makes `data`, in a directory that was given away, a new cluster with the superuser `postgres` who needs no password.
    pub(crate) fn copy_template(&self, data: &Path) {
        let template = self.template();
        let args: [&OsStr; 5] = [
            "-a".as_ref(),
            "--reflink=auto".as_ref(),
            "--no-target-directory".as_ref(),
            template.as_ref(),
            data.as_ref(),
        ];
        self.run(Path::new("cp"), &args);
    }

    fn template(&self) -> PathBuf {
        // Whoever comes second waits, and finds it.
        let _held = lock(&root().join("template.lock"));
        let name: Vec<_> = self.programs.iter().filter_map(OsStr::to_str).collect();
        let directory = root().join(format!("template{}", name.join("-").replace('/', "")));
        let (ready, making) = (directory.join("ready"), directory.join("making"));
        if ready.is_dir() {
            return ready;
        }
        if directory.is_dir() {
            // Of one who was killed meanwhile.
            fs::remove_dir_all(&directory)
                .unwrap_or_else(|error| panic!("cannot remove {}: {error}", directory.display()));
        }
        fs::create_dir(&directory)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
        self.give(&directory);
        let args: [&OsStr; 8] = [
            "--username=postgres".as_ref(),
            "--auth=trust".as_ref(),
            "--encoding=UTF8".as_ref(),
            "--locale=C.UTF-8".as_ref(),
            "--no-sync".as_ref(),
            "--no-instructions".as_ref(),
            "--pgdata".as_ref(),
            making.as_ref(),
        ];
        self.run(&self.program("initdb"), &args);
        fs::rename(&making, &ready)
            .unwrap_or_else(|error| panic!("cannot rename {}: {error}", making.display()));
        ready
    }

    fn run(&self, program: &Path, args: &[&OsStr]) {
        let mut command = Command::new("setpriv");
        as_user(&mut command, self.user());
        let ran = command
            .args([OsStr::new("--"), program.as_ref()])
            .args(args)
            .current_dir(root())
            .stdin(Stdio::null())
            .output();
        let ran = ran.unwrap_or_else(|error| {
            panic!("cannot run setpriv: {error}; install Debian's package util-linux")
        });
        let errors = String::from_utf8_lossy(&ran.stderr);
        assert!(
            ran.status.success(),
            "{} fails: {errors}",
            program.display()
        );
    }
}

fn newest_of_debian() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.filter_map(Result::ok);
    let servers = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let programs = entry.path().join("bin");
        programs
            .join("postgres")
            .is_file()
            .then_some((version, programs))
    });
    servers.max().map(|(_, programs)| programs)
}

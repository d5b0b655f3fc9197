//! Builds the page, when npm is there, and lists its files for the program to contain. Without npm, or without a way to the packages, the program is built all
//! the same, and its page says what is missing.
//!
//! Everything is made in the build's own folder. What has been built once of the same sources is taken again, by every profile.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs::{self, File},
    hash::{DefaultHasher, Hasher},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What the page is made from, under `ui`.
const SOURCES: [&str; 7] = [
    "index.html",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
    "public",
    "src",
];
/// Set to `off`, nothing is built.
const VARIABLE: &str = "ADMIN_SERVER_UI";
/// The oldest Node that builds it.
const NODE: (u32, u32) = (20, 19);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    for source in SOURCES.map(|name| Path::new("ui").join(name)) {
        if source.exists() {
            println!("cargo:rerun-if-changed={}", source.display());
        }
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (files, missing) = match missing() {
        Some(missing) => (Vec::new(), Some(missing)),
        None => match build(&out)? {
            Ok(folder) => (files(&folder)?, None),
            Err(missing) => (Vec::new(), Some(missing)),
        },
    };
    if let Some(missing) = &missing {
        println!("cargo:warning=the page is left out: {missing}");
        if !is_off() {
            // Looked at again next time: it may be there by then.
            println!("cargo:rerun-if-changed={}", out.join("never").display());
        }
    }
    fs::write(out.join("files.rs"), listing(&files, missing.as_deref())?)?;
    Ok(())
}

/// What keeps the page from being built, in words for whoever builds.
fn missing() -> Option<String> {
    if is_off() {
        return Some(format!("{VARIABLE} is off"));
    }
    let (major, minor) = NODE;
    let node = version("node");
    let is_enough = node.is_some_and(|version| version >= NODE);
    if !is_enough || version("npm").is_none() {
        return Some(format!(
            "building it needs Node {major}.{minor} or later, and npm"
        ));
    }
    None
}

fn is_off() -> bool {
    env::var(VARIABLE).is_ok_and(|value| value == "off")
}

fn version(program: &str) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.trim().trim_start_matches('v').split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The folder with the built page; or why its packages cannot be had. One that does not build is an error.
fn build(out: &Path) -> Result<std::result::Result<PathBuf, String>> {
    // target/<profile>/build/<package>/out
    let target = out.ancestors().nth(4).ok_or("OUT_DIR is somewhere else")?;
    let folder = target.join("admin-ui");
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    // Another profile's build may be at it.
    lock.lock()?;
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        hash(&Path::new("ui").join(source), &mut hasher)?;
    }
    let built = folder.join(format!("{:016x}", hasher.finish()));
    if built.exists() {
        return Ok(Ok(built));
    }
    let work = folder.join("work");
    for source in SOURCES {
        replace(&Path::new("ui").join(source), &work.join(source))?;
    }
    if let Err(missing) = install(&work)? {
        return Ok(Err(missing));
    }
    let making = folder.join("making");
    let vite = Command::new("npm")
        .args(["run", "build"])
        .env("ADMIN_UI_OUT", &making)
        .current_dir(&work)
        .output()?;
    if !vite.status.success() {
        return Err(format!("the page does not build:\n{}", said(&vite)).into());
    }
    fs::rename(making, &built)?;
    Ok(Ok(built))
}

/// Installs the page's packages unless those of the same lock file are there.
fn install(work: &Path) -> Result<std::result::Result<(), String>> {
    let (lock, stamp) = (work.join("package-lock.json"), work.join("installed"));
    let wanted = fs::read(lock)?;
    match fs::read(&stamp) {
        Ok(installed) if installed == wanted => return Ok(Ok(())),
        // npm begins by taking away what is there.
        Ok(_) => fs::remove_file(&stamp)?,
        Err(_) => {}
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        // Without a way to the packages it would try for minutes.
        .args(["--prefer-offline", "--fetch-retries=1"])
        .current_dir(work)
        .output()?;
    if !npm.status.success() {
        let said = said(&npm);
        let line = said.lines().find(|line| !line.trim().is_empty());
        return Ok(Err(format!(
            "npm cannot install what building it needs: {}",
            line.unwrap_or("it does not say why")
        )));
    }
    fs::write(stamp, wanted)?;
    Ok(Ok(()))
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stderr) + &text(&output.stdout)
}

fn hash(path: &Path, hasher: &mut impl Hasher) -> io::Result<()> {
    if path.is_dir() {
        for entry in sorted(path)? {
            hash(&entry, hasher)?;
        }
    } else if path.exists() {
        hasher.write(path.as_os_str().as_encoded_bytes());
        hasher.write(&[0]);
        hasher.write(&fs::read(path)?);
    }
    Ok(())
}

fn replace(from: &Path, to: &Path) -> io::Result<()> {
    if to.is_dir() {
        fs::remove_dir_all(to)?;
    }
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in sorted(from)? {
            if let Some(name) = entry.file_name() {
                copy(&entry, &to.join(name))?;
            }
        }
    } else if from.exists() {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        if to.exists() {
            // A copy of what is read-only is so too.
            fs::remove_file(to)?;
        }
        fs::copy(from, to)?;
    }
    Ok(())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

/// The files of the built page, with their paths in it.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in sorted(&next)? {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let path = entry
                .strip_prefix(folder)?
                .to_str()
                .ok_or("a file's name is no text")?;
            files.push((path.to_owned(), entry));
        }
    }
    Ok(files)
}

/// Rust that contains the files.
fn listing(files: &[(String, PathBuf)], missing: Option<&str>) -> Result<String> {
    let mut text =
        format!("const MISSING: Option<&str> = {missing:?};\nconst FILES: &[File] = &[\n");
    for (path, file) in files {
        writeln!(
            text,
            "    File {{ path: {path:?}, bytes: include_bytes!({file:?}) }},"
        )?;
    }
    text.push_str("];\n");
    Ok(text)
}

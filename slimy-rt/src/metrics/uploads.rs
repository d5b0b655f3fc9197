//! Uploads, counted in the directory that they are kept in.

use std::{
    fs::{self, DirEntry, ReadDir},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, spawn_blocking},
};

use super::{MetricsError, MetricsSource, Sample, Uploads};
use crate::{GuildId, server::lock, time::timestamp};

/// The most files and directories that are looked at in one count. A larger directory is an error, and no half of a count.
pub const MAX_UPLOAD_ENTRIES: u64 = 10_000_000;
/// The most guilds that are counted singly; uploads of further ones count in the totals only.
pub const MAX_UPLOAD_GUILDS: usize = 100_000;

/// How an upload's file ends: each has one picture of that name, whatever it is itself.
const SUFFIX: &str = ".thumb.jpg";
/// The form of a day: 0 is any digit.
const DAY: &str = "0000-00-00";
/// For how many times its maximum age a count is still told while the next one is made.
const STALE: u32 = 10;

/// A [`MetricsSource`] for uploads that are kept as files: `<directory>/<guild id>/<YYYY-MM-DD>/*.thumb.jpg`, in directories named after UTC days.
///
/// It counts what is there: deleting files lowers its figures. Whatever does not fit this form is not counted, links to directories and
/// files included. There is one count at a time, on a thread for blocking work.
///
/// ```
/// use std::time::Duration;
/// use slimy_rt::metrics::{MetricsSource, UploadDirectory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let uploads = UploadDirectory::new("/nowhere/uploads").max_age(Duration::from_secs(30));
/// assert!(uploads.sample().await.is_err(), "a directory that cannot be read is no zero");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UploadDirectory {
    directory: Arc<Path>,
    max_age: Duration,
    /// For one count at a time.
    counting: Arc<Semaphore>,
    last: Arc<Mutex<Option<Counted>>>,
}

#[derive(Debug)]
struct Counted {
    at: Instant,
    uploads: Uploads,
}

impl UploadDirectory {
    /// A source for the uploads in this directory, which is counted for each sample.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into().into(),
            max_age: Duration::ZERO,
            counting: Arc::new(Semaphore::new(1)),
            last: Arc::default(),
        }
    }

    /// Tells a count again until it has this age, for directories that take long to count. Then a new one is made, and up to ten times
    /// this age nobody waits for it. Not at all by default.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    fn last(&self, max_age: Duration) -> Option<Uploads> {
        let last = lock(&self.last);
        let young = last.as_ref().filter(|last| last.at.elapsed() < max_age);
        young.map(|last| last.uploads.clone())
    }

    /// Counts, whether or not somebody waits for it. An error is told to whoever asks next, too: by trying again.
    fn count(&self, permit: OwnedSemaphorePermit) -> JoinHandle<Result<Uploads, MetricsError>> {
        let (directory, last) = (Arc::clone(&self.directory), Arc::clone(&self.last));
        spawn_blocking(move || {
            let counted = count(&directory, &today(), MAX_UPLOAD_ENTRIES);
            *lock(&last) = counted.as_ref().ok().map(|uploads| Counted {
                at: Instant::now(),
                uploads: uploads.clone(),
            });
            drop(permit);
            counted.map_err(|error| {
                let text = format!(
                    "cannot count the uploads in {}: {error}",
                    directory.display()
                );
                MetricsError::Unavailable(text.into())
            })
        })
    }
}

#[async_trait]
impl MetricsSource for UploadDirectory {
    fn name(&self) -> &str {
        "uploads"
    }

    async fn sample(&self) -> Result<Sample, MetricsError> {
        if let Some(uploads) = self.last(self.max_age) {
            return Ok(sample(uploads));
        }
        if let Some(uploads) = self.last(self.max_age.saturating_mul(STALE)) {
            // Without a permit, somebody else's count is on its way.
            if let Ok(permit) = Arc::clone(&self.counting).try_acquire_owned() {
                drop(self.count(permit));
            }
            return Ok(sample(uploads));
        }
        let permit = Arc::clone(&self.counting).acquire_owned().await;
        let permit = permit.map_err(unavailable)?;
        // Whoever had the permit before may have counted for this caller too.
        if let Some(uploads) = self.last(self.max_age) {
            return Ok(sample(uploads));
        }
        let counted = self.count(permit).await;
        counted.map_err(unavailable)?.map(sample)
    }
}

fn sample(uploads: Uploads) -> Sample {
    Sample {
        uploads: Some(uploads),
        ..Sample::default()
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> MetricsError {
    MetricsError::Unavailable(error.into())
}

/// The UTC day, as directories are named after it.
fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = now.unwrap_or_default().as_millis();
    let mut text = timestamp(u64::try_from(millis).unwrap_or(u64::MAX));
    text.truncate(DAY.len());
    text
}

fn count(directory: &Path, today: &str, max_entries: u64) -> io::Result<Uploads> {
    let mut walk = Walk {
        left: max_entries,
        max_entries,
    };
    let mut uploads = Uploads::default();
    // Only the directory itself must be there: what is in it may be deleted while it is looked at.
    for guild in fs::read_dir(directory)? {
        let guild = walk.entry(guild)?;
        let Some(id) = name(&guild).and_then(|name| GuildId::parse(&name).ok()) else {
            continue;
        };
        let mut of_guild = 0;
        for day in walk.directory(&guild)?.into_iter().flatten() {
            let day = walk.entry(day)?;
            let Some(date) = name(&day).filter(|name| is_date(name)) else {
                continue;
            };
            let files = walk.uploads(&day)?;
            of_guild += files;
            if date == today {
                uploads.today += files;
            }
        }
        uploads.total += of_guild;
        if of_guild > 0 && uploads.by_guild.len() < MAX_UPLOAD_GUILDS {
            uploads.by_guild.insert(id, of_guild);
        }
    }
    Ok(uploads)
}

/// A bounded look around.
struct Walk {
    left: u64,
    max_entries: u64,
}

impl Walk {
    fn entry(&mut self, entry: io::Result<DirEntry>) -> io::Result<DirEntry> {
        let Some(left) = self.left.checked_sub(1) else {
            let text = format!(
                "it has more than {} files and directories: count uploads in Postgres or Redis instead",
                self.max_entries
            );
            return Err(io::Error::other(text));
        };
        self.left = left;
        entry
    }

    /// What is in a directory; nothing when it is none, or has just gone.
    fn directory(&self, entry: &DirEntry) -> io::Result<Option<ReadDir>> {
        // Not following links: a directory is looked at once.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {}
            Ok(_) => return Ok(None),
            Err(error) => return gone(error),
        }
        fs::read_dir(entry.path()).map(Some).or_else(gone)
    }

    /// How many uploads are in a day's directory.
    fn uploads(&mut self, day: &DirEntry) -> io::Result<u64> {
        let mut uploads = 0;
        for file in self.directory(day)?.into_iter().flatten() {
            let file = self.entry(file)?;
            let is_upload = name(&file).is_some_and(|name| name.ends_with(SUFFIX));
            let is_file = |file: &DirEntry| file.file_type().is_ok_and(|kind| kind.is_file());
            uploads += u64::from(is_upload && is_file(&file));
        }
        Ok(uploads)
    }
}

fn gone<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(error),
    }
}

/// A name that is no text is none of an upload's.
fn name(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

fn is_date(name: &str) -> bool {
    name.len() == DAY.len()
        && name
            .bytes()
            .zip(DAY.bytes())
            .all(|(byte, form)| match form {
                b'-' => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: &str = "2026-11-22";

    /// A directory of a test's own, gone with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(files: &[&str]) -> Self {
            let name = format!("slimy-rt-uploads-{}", crate::NodeId::random());
            let directory = Self(std::env::temp_dir().join(name));
            fs::create_dir(&directory.0).unwrap();
            files.iter().for_each(|file| directory.add(file));
            directory
        }

        fn add(&self, file: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }

        fn counted(&self) -> Uploads {
            count(&self.0, TODAY, MAX_UPLOAD_ENTRIES).unwrap()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn uploads_are_counted_by_guild_and_day() {
        let directory = Directory::new(&[
            "1/2026-11-22/a.thumb.jpg",
            "1/2026-11-22/b.thumb.jpg",
            "1/2026-11-21/c.thumb.jpg",
            "2/2025-01-01/d.thumb.jpg",
        ]);
        let uploads = directory.counted();
        assert_eq!((uploads.total, uploads.today), (4, 2));
        let by_guild: Vec<_> = uploads
            .by_guild
            .iter()
            .map(|(id, n)| (id.as_str(), *n))
            .collect();
        assert_eq!(by_guild, [("1", 3), ("2", 1)]);
    }

    #[test]
    fn what_is_no_upload_does_not_count() {
        let directory = Directory::new(&[
            "1/2026-11-22/a.jpg",
            "1/2026-11-22/thumb.jpg.txt",
            "1/2026-11-22/deeper/b.thumb.jpg",
            "1/2026-11-22/folder.thumb.jpg/c.txt",
            "1/today/d.thumb.jpg",
            "1/2026-1-22/e.thumb.jpg",
            "1/2026_11_22/e.thumb.jpg",
            "1/f.thumb.jpg",
            "g.thumb.jpg",
        ]);
        assert_eq!(directory.counted(), Uploads::default());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let directory = Directory::new(&["1/2026-11-22/a.thumb.jpg"]);
        std::os::unix::fs::symlink(directory.0.join("1"), directory.0.join("2")).unwrap();
        assert_eq!(directory.counted().total, 1);
    }

    #[test]
    fn more_than_the_bound_is_an_error_that_says_what_to_do() {
        let directory = Directory::new(&["1/2026-11-22/a.thumb.jpg", "1/2026-11-22/b.thumb.jpg"]);
        assert_eq!(count(&directory.0, TODAY, 4).unwrap().total, 2);
        let error = count(&directory.0, TODAY, 3).unwrap_err().to_string();
        assert!(
            error.contains("more than 3") && error.contains("Redis"),
            "{error}"
        );
    }

    #[test]
    fn days_have_one_form() {
        assert!(is_date(&today()) && is_date("0000-00-00"));
        for bad in [
            "",
            "2026-11-2",
            "2026-11-222",
            "2026/11/22",
            "２０２６-11",
            "20261-1-22",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn each_sample_counts_unless_it_may_be_older() {
        let directory = Directory::new(&["1/2026-11-22/a.thumb.jpg"]);
        let total = async |source: &UploadDirectory| {
            let sample = source.sample().await.unwrap();
            sample.uploads.map(|uploads| uploads.total)
        };
        let always = UploadDirectory::new(&*directory.0);
        let rarely = UploadDirectory::new(&*directory.0).max_age(Duration::from_secs(3600));
        assert_eq!(
            (total(&always).await, total(&rarely).await),
            (Some(1), Some(1))
        );
        directory.add("2/2026-11-22/b.thumb.jpg");
        assert_eq!(
            (total(&always).await, total(&rarely).await),
            (Some(2), Some(1))
        );
    }

    #[tokio::test]
    async fn an_old_count_is_told_while_the_next_one_is_made() {
        let directory = Directory::new(&["1/2026-11-22/a.thumb.jpg"]);
        let source = UploadDirectory::new(&*directory.0).max_age(Duration::from_secs(60));
        source.sample().await.unwrap();
        let age = |by: u64| {
            let mut last = lock(&source.last);
            let last = last.as_mut().unwrap();
            last.at = last.at.checked_sub(Duration::from_secs(by)).unwrap();
        };
        // As if a count were on its way for ever.
        let counting = Arc::clone(&source.counting).acquire_owned().await.unwrap();
        age(61);
        assert_eq!(source.sample().await.unwrap().uploads.unwrap().total, 1);
        age(600);
        let waiting = tokio::time::timeout(Duration::from_millis(20), source.sample());
        assert!(waiting.await.is_err(), "too old to be told");
        drop(counting);
        source.sample().await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_read_is_named() {
        let source = UploadDirectory::new("/nowhere/uploads").max_age(Duration::from_secs(60));
        let error = source.sample().await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("/nowhere/uploads"), "{cause}");
    }
}

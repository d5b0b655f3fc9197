//! The source that counts a directory of uploads keeps the contract of metrics sources.

use std::{fs, path::PathBuf, sync::Arc};

use slimy_rt::{
    NodeId,
    conformance::metrics::{MetricsFactory, check, clauses},
    metrics::{MetricsSource, UploadDirectory},
};

/// Directories of uploads, each source with its own; gone with the test.
struct Directories(PathBuf);

/// A source and its directory.
#[derive(Debug)]
struct Source {
    uploads: UploadDirectory,
    directory: PathBuf,
}

impl Directories {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("slimy-rt-{}", NodeId::random()));
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[slimy_rt::async_trait]
impl MetricsSource for Source {
    fn name(&self) -> &str {
        self.uploads.name()
    }
    async fn sample(&self) -> Result<slimy_rt::metrics::Sample, slimy_rt::metrics::MetricsError> {
        self.uploads.sample().await
    }
}

impl MetricsFactory for Directories {
    type Source = Arc<Source>;

    async fn create(&self) -> Arc<Source> {
        let directory = self.0.join(NodeId::random().as_str());
        fs::create_dir(&directory).unwrap();
        let uploads = UploadDirectory::new(&*directory);
        Arc::new(Source { uploads, directory })
    }

    async fn happen(&self, source: &Arc<Source>) -> bool {
        let day = source.directory.join("1176605506912141444/2026-11-22");
        fs::create_dir_all(&day).unwrap();
        fs::write(day.join(format!("{}.thumb.jpg", NodeId::random())), "").unwrap();
        true
    }

    async fn cut_off(&self, source: &Arc<Source>) -> bool {
        fs::remove_dir_all(&source.directory).unwrap();
        true
    }
}

#[tokio::test]
async fn every_clause_holds() {
    let report = check(Directories::new()).await.unwrap();
    assert_eq!(report.held, clauses(), "{report}");
}
